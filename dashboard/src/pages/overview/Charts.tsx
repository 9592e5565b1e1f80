import { useLive } from "../../live/LiveProvider";
import { LineChart } from "../../parts/LineChart";
import { formatCount, formatRate } from "../../parts/numbers";
import { formatDuration } from "../../time/format";
import styles from "./Charts.module.css";

/** How decisions, the backlog and the draining went in the last ten minutes, as far as somebody watched. */
export function Charts() {
  const { history } = useLive();
  const timesS = history.map((sample) => sample.atS);
  const decisions = (name: keyof (typeof history)[number]["decisions"]) =>
    history.map((sample) => sample.decisions[name] ?? 0);
  return (
    <div className={styles.charts}>
      <LineChart
        title="Decisions a second"
        timesS={timesS}
        series={[
          { label: "forwarded", color: "--chart-1", values: decisions("forward") },
          { label: "deferred", color: "--chart-3", values: decisions("defer") },
          { label: "rejected", color: "--chart-2", values: decisions("reject") },
          { label: "blocked", color: "--chart-4", values: decisions("block") },
        ]}
        format={formatRate}
      />
      <LineChart
        title="Draining of the 100 deepest flows"
        timesS={timesS}
        series={[
          { label: "permitted", color: "--chart-4", values: history.map((sample) => sample.permitted_per_second) },
          { label: "actual", color: "--chart-1", values: history.map((sample) => sample.actual_per_second) },
        ]}
        format={formatRate}
      />
      <LineChart
        title="Jobs that wait"
        timesS={timesS}
        series={[{ label: "jobs", color: "--chart-3", values: history.map((sample) => sample.jobs) }]}
        format={formatCount}
      />
      <LineChart
        title="Age of the oldest job, in seconds"
        timesS={timesS}
        series={[{ label: "oldest", color: "--chart-2", values: history.map((sample) => sample.oldest_age_seconds) }]}
        format={(seconds) => (seconds === null ? "–" : formatDuration(seconds))}
      />
    </div>
  );
}
