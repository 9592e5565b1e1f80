import { Link } from "wouter";
import { Notice } from "../../parts/Notice";
import { counted } from "../../parts/numbers";
import { links } from "../../urls/links";
import type { Outcome } from "./checkedDeeds";
import styles from "./letters.module.css";

/** What has become of the dead letters that were checked, and why some were not touched. */
export function OutcomeNotice({ outcome, deed }: { outcome: Outcome; deed: string }) {
  const problems = Object.entries(outcome.problems);
  return (
    <Notice tone={problems.length > 0 ? "warn" : "good"} title={`${counted(outcome.done, "dead letter")} ${deed}.`}>
      {problems.length > 0 && (
        <>
          {counted(problems.length, "dead letter")} could not be {deed}:
          <ul className={styles.problems}>
            {problems.map(([id, reason]) => (
              <li key={id}>
                <Link href={links.job(id)} className={styles.id}>
                  {id}
                </Link>{" "}
                {reason}
              </li>
            ))}
          </ul>
        </>
      )}
    </Notice>
  );
}
