import type { Schemas } from "../../api/client";
import { counted } from "../../parts/numbers";
import { formatDuration } from "../../time/format";
import { Moment } from "../../time/Moment";
import { waitInWords } from "./columns";
import styles from "./Timeline.module.css";
import { timelineEntries } from "./timelineEntries";

type Job = Schemas["JobDocument"];

/** A job's life, the oldest event first, and last what it waits for. */
export function Timeline({ job }: { job: Job }) {
  const entries = timelineEntries(job.timeline);
  const turn = waitInWords(job);
  return (
    <ol className={styles.timeline}>
      {entries.map((entry, at) => (
        <li key={entry.key} className={styles[entry.tone]}>
          <div className={styles.title}>{entry.title}</div>
          {entry.details.length > 0 && <div className={styles.details}>{entry.details.join(" · ")}</div>}
          <div className={styles.details}>
            <Moment at={entry.at} />
            {entry.gapS !== null && ` · ${formatDuration(entry.gapS)} later`}
          </div>
          {at === 0 && job.earlier_attempts > 0 && (
            <div className={styles.details}>{counted(job.earlier_attempts, "earlier attempt")} not shown</div>
          )}
        </li>
      ))}
      {job.wait && (
        <li className={styles.warn}>
          <div className={styles.title}>Now: {job.wait.detail}</div>
          {job.wait.until !== null && (
            <div className={styles.details}>
              Until <Moment at={job.wait.until} />
            </div>
          )}
          {turn && <div className={styles.details}>Its turn: {turn}</div>}
        </li>
      )}
    </ol>
  );
}
