import { useLive } from "../../live/LiveProvider";
import { LineChart } from "../../parts/LineChart";
import { formatCount, formatRate } from "../../parts/numbers";
import { formatDuration } from "../../time/format";
import styles from "./Charts.module.css";
import type { DrainSample } from "./drain";

/** How decisions, the backlog and the draining went since this tab was opened, ten minutes at most. */
export function Charts({ drained }: { drained: readonly DrainSample[] }) {
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
        timesS={drained.map((sample) => sample.atS)}
        series={[
          { label: "permitted", color: "--chart-4", values: drained.map((sample) => sample.permitted) },
          { label: "actual", color: "--chart-1", values: drained.map((sample) => sample.actual) },
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
        series={[{ label: "oldest", color: "--chart-2", values: history.map((sample) => sample.oldestAgeS) }]}
        format={(seconds) => (seconds === null ? "–" : formatDuration(seconds))}
      />
    </div>
  );
}
