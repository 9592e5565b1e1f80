import { Folded } from "../../parts/Folded";
import styles from "./Changes.module.css";
import { type Change, changesOf } from "./changes";

/** How many changes are shown before the others are folded. */
const SHOWN = 4;

/** What differs between two values: of objects only the members that do, at any depth. Many of them are folded. */
export function Changes({ before, after }: { before: unknown; after: unknown }) {
  const changes = changesOf(before, after);
  if (changes.length === 0) {
    return <span>–</span>;
  }
  // The last fold would hide a single line that is no longer than the fold itself.
  const shown = changes.length <= SHOWN + 1 ? changes : changes.slice(0, SHOWN);
  const others = changes.slice(shown.length);
  return (
    <>
      <ChangeList changes={shown} />
      {others.length > 0 && (
        <details className={styles.others}>
          <summary>{others.length} more</summary>
          <ChangeList changes={others} />
        </details>
      )}
    </>
  );
}

function ChangeList({ changes }: { changes: readonly Change[] }) {
  return (
    <ul className={styles.changes}>
      {changes.map(({ path, from, to }) => (
        <li key={path}>
          {path && <strong>{path}: </strong>}
          {from !== null && (
            <>
              <del>
                <Folded text={from} />
              </del>{" "}
              →{" "}
            </>
          )}
          {to === null ? (
            <span className={styles.unset}>not set</span>
          ) : (
            <ins>
              <Folded text={to} />
            </ins>
          )}
        </li>
      ))}
    </ul>
  );
}
