import type { Status } from "../../live/events";
import { formatRate } from "../../parts/numbers";
import { formatDuration } from "../../time/format";

type Process = Status["processes"][number];

/** A process, and how it differs from what is usual. */
export type ProcessRow = {
  process: Process;
  /** Its version is another than that of most processes. */
  isOtherVersion: boolean;
  /** It has rules that are not the published ones; null where it needs none or has not said. */
  isBehind: boolean;
  doing: string;
};

/** The processes, each with what stands out about it. */
export function processRows({ processes, rules }: Pick<Status, "processes" | "rules">): ProcessRow[] {
  const usual = mostFrequent(processes.map((one) => one.version));
  return processes.map((process) => ({
    process,
    isOtherVersion: process.version !== usual,
    isBehind: process.rules_version !== null && rules.version !== null && process.rules_version < rules.version,
    doing: doingOf(process),
  }));
}

function mostFrequent(values: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const value of values) {
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}

const NAMES: Record<string, string> = {
  forward: "forwards",
  reject: "rejects",
  defer: "defers",
  block: "blocks",
  succeeded: "succeed",
  retry: "fail and are retried",
  exhausted: "become dead letters",
  flowheld: "are held back",
  released: "are given back",
};

function doingOf(process: Process): string {
  const rates = Object.entries(process.rates)
    .filter(([, rate]) => rate > 0)
    .map(([name, rate]) => `${formatRate(rate)} ${NAMES[name] ?? name}`);
  const inFlight = process.in_flight ? [`${process.in_flight} in flight`] : [];
  const lag = process.lag_seconds === null ? [] : [`${formatDuration(process.lag_seconds)} behind MongoDB`];
  return [...rates, ...inFlight, ...lag].join(", ") || "–";
}
