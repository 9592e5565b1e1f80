import { writeJson } from "../../api/json";
import styles from "./Differences.module.css";
import { differencesOf } from "./differences";
import type { Fields } from "./rule";

/** What differs between two versions of a rule. null: there was no rule. */
export function Differences({ from, to }: { from: Fields | null; to: Fields | null }) {
  const found = differencesOf(from, to);
  if (found.length === 0) {
    return <span>nothing</span>;
  }
  return (
    <ul className={styles.list}>
      {found.map(({ name, from: before, to: after }) => (
        <li key={name}>
          <code>{name}</code> {from !== null && <Before value={before} />}
          <ins>{shown(after)}</ins>
        </li>
      ))}
    </ul>
  );
}

function Before({ value }: { value: unknown }) {
  return (
    <>
      <del>{shown(value)}</del> →{" "}
    </>
  );
}

function shown(value: unknown): string {
  return value === undefined ? "default" : writeJson(value);
}
