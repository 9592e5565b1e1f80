import { formatDuration, formatMoment, formatRelative } from "./format";
import styles from "./Moment.module.css";
import { useTime } from "./TimeZoneProvider";

/** A moment of the admin API, relative and absolute. `at`: ISO 8601; null is shown as a dash. */
export function Moment({ at, only }: { at: string | null | undefined; only?: "relative" | "absolute" }) {
  const { zone, nowMs } = useTime();
  const atMs = at ? Date.parse(at) : Number.NaN;
  if (!at || Number.isNaN(atMs)) {
    return <span>–</span>;
  }
  const absolute = formatMoment(new Date(atMs), zone);
  const relative = formatRelative(atMs, nowMs);
  return (
    <time className={styles.moment} dateTime={at} title={only === "relative" ? absolute : relative}>
      <span className={styles.absolute}>{only === "relative" ? relative : absolute}</span>
      {only === undefined && <span className={styles.relative}> {relative}</span>}
    </time>
  );
}

/** A stretch of time in seconds; null is shown as a dash. */
export function Duration({ seconds }: { seconds: number | null | undefined }) {
  return <span>{seconds === null || seconds === undefined ? "–" : formatDuration(seconds)}</span>;
}
