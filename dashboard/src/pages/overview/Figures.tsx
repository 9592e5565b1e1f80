import type { ReactNode } from "react";
import { Link } from "wouter";
import type { Status } from "../../live/events";
import { formatCount, formatRate } from "../../parts/numbers";
import { formatDuration } from "../../time/format";
import { links } from "../../urls/links";
import styles from "./Figures.module.css";

/** The numbers that say most about the installation. */
export function Figures({ status }: { status: Status }) {
  const { backlog, decision_latency: latency, rates } = status;
  const decided = Object.values(rates.decisions).reduce((sum, rate) => sum + rate, 0);
  return (
    <dl className={styles.figures}>
      <Figure name="Decisions" value={formatRate(decided)} note={`${formatRate(rates.decisions.forward)} forwarded`} />
      <Figure
        name="Added latency"
        value={latency ? formatDuration(latency.p50_seconds) : "–"}
        note={latency ? `99 of 100 below ${formatDuration(latency.p99_seconds)}` : "nothing was decided lately"}
      />
      <Figure
        name="Jobs waiting"
        value={<Link href={links.flows()}>{formatCount(backlog?.jobs)}</Link>}
        note={backlog?.oldest_age_seconds ? `oldest ${formatDuration(backlog.oldest_age_seconds)}` : "nothing waits"}
      />
      <Figure name="Attempts" value={formatRate(rates.attempts)} note={`${formatCount(backlog?.retrying)} back off`} />
      <Figure
        name="Dead letters"
        value={<Link href={links.deadLetters()}>{formatCount(backlog?.dead_letters)}</Link>}
        note={`${formatCount(backlog?.recent_dead_letters)} in the last 10 min`}
      />
    </dl>
  );
}

function Figure({ name, value, note }: { name: string; value: ReactNode; note: string }) {
  return (
    <div className={styles.figure}>
      <dt>{name}</dt>
      <dd className={styles.value}>{value}</dd>
      <dd className={styles.note}>{note}</dd>
    </div>
  );
}
