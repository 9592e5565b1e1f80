import { Fragment } from "react";
import styles from "./FilterText.module.css";
import { namedByFilter } from "./words";

/** What a filter names, in words. `none` stands where it names nothing. */
export function FilterText({ filter, none }: { filter: Record<string, unknown>; none: string }) {
  const named = namedByFilter(filter);
  return (
    <span className={styles.filter}>
      {named.length === 0 && none}
      {named.map(({ field, name, value }, at) => (
        <Fragment key={field}>
          {at > 0 && ", "}
          {name} <code>{value}</code>
        </Fragment>
      ))}
    </span>
  );
}
