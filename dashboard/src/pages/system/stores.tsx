import type { Status } from "../../live/events";
import { Badge } from "../../parts/Badge";
import { counted, formatBytes } from "../../parts/numbers";
import type { Column } from "../../parts/Table";
import styles from "./system.module.css";

type Store = Status["stores"][number];

const NAMES: Record<Store["store"], readonly [string, string]> = {
  mongodb: ["MongoDB", "rules, history, audit"],
  cache_redis: ["cache Redis", "rules in force, counters"],
  queue_redis: ["queue Redis", "jobs and their flows"],
  kafka: ["Kafka", "requests before their flows"],
};

/** The columns of the stores: whether each can be reached, how full it is, and what is wrong with it. */
export const STORE_COLUMNS: readonly Column<Store>[] = [
  { name: "store", heading: "Store", cell: (store) => <Name store={store} /> },
  { name: "state", heading: "State", cell: (store) => <State store={store} /> },
  { name: "version", heading: "Version", cell: (store) => store.version ?? "–" },
  {
    name: "memory",
    heading: "Memory",
    cell: (store) => (
      <Fill label="memory" used={store.used_memory_bytes ?? null} of={store.max_memory_bytes || null} high={0.72} />
    ),
  },
  { name: "disk", heading: "Disk", cell: (store) => <Disk store={store} /> },
];

function Name({ store }: { store: Store }) {
  const [name, has] = NAMES[store.store];
  return (
    <>
      <strong>{name}</strong>
      <div className={styles.detail}>{has}</div>
    </>
  );
}

function State({ store }: { store: Store }) {
  const badge = store.problems.length > 0 ? <Badge tone="bad">problem</Badge> : <Badge tone="good">well</Badge>;
  return (
    <>
      {store.reachable ? badge : <Badge tone="bad">not reachable</Badge>}
      <ul className={styles.problems}>
        {store.problems.map((problem) => (
          <li key={problem}>{problem}</li>
        ))}
        {store.topics?.map((topic) => (
          <li key={topic.topic}>{lagOf(topic)}</li>
        ))}
      </ul>
    </>
  );
}

type Topic = NonNullable<Store["topics"]>[number];

/** How far workers are behind a topic, in words. */
export function lagOf({ topic, lag, partitions, partitions_read: read }: Topic): string {
  const messages = lag === null ? "an unknown number of messages" : counted(lag, "message", "messages");
  const unread = partitions === null || read === partitions ? "" : `; ${read} of ${partitions} partitions are read`;
  return `${messages} not yet taken from ${topic}${unread}`;
}

function Disk({ store }: { store: Store }) {
  const { disk_free_bytes: free = null, disk_total_bytes: total = null } = store;
  if (free === null || total === null) {
    return "–";
  }
  return <Fill label="disk" used={total - free} of={total} high={0.95} note={`${formatBytes(free)} free`} />;
}

/** `high`: the fraction from which on it is nearly full. */
type FillProps = { label: string; used: number | null; of: number | null; high: number; note?: string };

/** How full something is, in words and as a bar. */
function Fill({ label, used, of, high, note }: FillProps) {
  if (used === null) {
    return "–";
  }
  if (of === null) {
    return `${formatBytes(used)}, no limit`;
  }
  return (
    <>
      {note ?? `${formatBytes(used)} of ${formatBytes(of)}`}
      <meter className={styles.meter} aria-label={`${label} used`} value={used / of} high={high} optimum={0}>
        {Math.round((100 * used) / of)} %
      </meter>
    </>
  );
}
