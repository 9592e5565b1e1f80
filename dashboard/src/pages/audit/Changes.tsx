import { isRecord } from "../../api/problem";
import styles from "./Changes.module.css";

/** Members that say when and by whom a rule was changed, which the entry says itself. */
const SAID_ALREADY = new Set(["version", "updated_at", "updated_by"]);

/** What differs between two values; of objects only the members that do. */
export function Changes({ before, after }: { before: unknown; after: unknown }) {
  const changed = changesOf(before, after);
  if (changed.length === 0) {
    return <span>–</span>;
  }
  return (
    <ul className={styles.changes}>
      {changed.map(({ name, from, to }) => (
        <li key={name}>
          {name && <strong>{name}: </strong>}
          <del>{shown(from)}</del> → <ins>{shown(to)}</ins>
        </li>
      ))}
    </ul>
  );
}

export type Change = { name: string; from: unknown; to: unknown };

/** The members that differ between two values; a value that is no object is one member without a name. */
export function changesOf(before: unknown, after: unknown): Change[] {
  const [from, to] = [before ?? {}, after ?? {}];
  if (!isRecord(from) || !isRecord(to)) {
    return before === after ? [] : [{ name: "", from: before, to: after }];
  }
  return [...new Set([...Object.keys(from), ...Object.keys(to)])]
    .filter((name) => !SAID_ALREADY.has(name) && shown(from[name]) !== shown(to[name]))
    .map((name) => ({ name, from: from[name], to: to[name] }));
}

function shown(value: unknown): string {
  return value === undefined || value === null ? "not set" : JSON.stringify(value);
}
