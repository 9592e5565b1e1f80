import { INTERVALS_S, useLive } from "../live/LiveProvider";
import { Badge } from "../parts/Badge";
import { Button } from "../parts/Button";
import { formatMoment } from "../time/format";
import { useTime } from "../time/TimeZoneProvider";
import styles from "./LiveBar.module.css";
import { PausedAndHeld } from "./PausedAndHeld";

/** How old a status may be before it is called stale, in milliseconds, besides the interval. */
const STALE_MS = 4000;

/** Says whether what is shown is live, since when it is not, and what is paused or held; it stands on every page. */
export function LiveBar() {
  const { intervalS, setIntervalS, paused, setPaused } = useLive();
  return (
    <section className={styles.bar} aria-label="Updates">
      <Liveness />
      <Button onClick={() => setPaused(!paused)} aria-pressed={paused}>
        {paused ? "Go on with updates" : "Pause updates"}
      </Button>
      <label className={styles.interval}>
        every{" "}
        <select value={intervalS} onChange={(event) => setIntervalS(Number(event.target.value))}>
          {INTERVALS_S.map((one) => (
            <option key={one} value={one}>
              {one} s
            </option>
          ))}
        </select>
      </label>
      <PausedAndHeld />
    </section>
  );
}

function Liveness() {
  const { connection, problem, receivedAtMs, intervalS } = useLive();
  const { nowMs, zone } = useTime();
  const since = receivedAtMs === null ? "" : ` since ${formatMoment(new Date(receivedAtMs), zone)}`;
  const stale = receivedAtMs !== null && nowMs - receivedAtMs > STALE_MS + intervalS * 1000;
  if (connection === "paused") {
    return <Badge tone="accent">Updates paused{since}</Badge>;
  }
  if (connection === "live" && !stale) {
    return <Badge tone="good">Live</Badge>;
  }
  if (connection === "connecting" && problem === "") {
    return <Badge tone="quiet">Connecting…</Badge>;
  }
  return (
    <span role="alert">
      <Badge tone="bad">Disconnected{since && `, stale${since}`}</Badge> {problem}
    </span>
  );
}
