import { useLive } from "../../live/LiveProvider";
import { Badge } from "../../parts/Badge";
import { counted, formatCount } from "../../parts/numbers";
import { formatDuration } from "../../time/format";
import styles from "./letters.module.css";
import { riseOf } from "./rise";

/** How many dead letters there are in all, and whether they become more. */
export function Count() {
  const rise = riseOf(useLive().history);
  if (rise === null) {
    return null;
  }
  const { now, more, overS } = rise;
  return (
    <p className={styles.count}>
      <strong>{counted(now, "dead letter")}</strong> in all
      {more > 0 && (
        <Badge tone="bad">
          rising: {formatCount(more)} more in {formatDuration(Math.max(1, overS))}
        </Badge>
      )}
      {more < 0 && (
        <Badge tone="good">
          {formatCount(-more)} less in {formatDuration(Math.max(1, overS))}
        </Badge>
      )}
    </p>
  );
}
