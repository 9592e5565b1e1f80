import { counted, formatCount } from "../numbers";
import styles from "./Progress.module.css";
import { hasEnded, type Operation, wordsOfKind } from "./words";

/** How far an operation has come: a bar, and the numbers in words. */
export function Progress({ operation }: { operation: Operation }) {
  const { kind, progress, total } = operation;
  const label = `Progress: ${wordsOfKind(kind).name}`;
  return (
    <span className={styles.progress}>
      <progress aria-label={label} value={progress} max={1} />
      <span>
        {Math.floor(progress * 100)} %, {doneInWords(operation)}
        {!hasEnded(operation) && ` of ${total.is_exact ? "" : "about "}${formatCount(total.estimate)}`}
      </span>
    </span>
  );
}

/** `12 jobs canceled`, with those that could not be. */
export function doneInWords({ kind, done, errors }: Operation): string {
  const { one, done: deed } = wordsOfKind(kind);
  const failed = Object.values(errors).reduce((sum, count) => sum + count, 0);
  return `${counted(done, one)} ${deed}${failed > 0 ? `, ${formatCount(failed)} could not be` : ""}`;
}
