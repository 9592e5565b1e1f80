import { Badge } from "../../parts/Badge";
import type { Column } from "../../parts/Table";
import { Duration } from "../../time/Moment";
import type { ProcessRow } from "./rows";
import styles from "./system.module.css";

/** The columns of the processes. What differs from the others says so. */
export const PROCESS_COLUMNS: readonly Column<ProcessRow>[] = [
  { name: "role", heading: "Part", cell: ({ process }) => <strong>{process.role}</strong> },
  { name: "where", heading: "Where", cell: ({ process }) => `${process.host}:${process.pid}` },
  { name: "state", heading: "State", cell: (row) => <State row={row} /> },
  {
    name: "version",
    heading: "Version",
    cell: ({ process, isOtherVersion }) => (
      <>
        {process.version} {isOtherVersion && <Badge tone="warn">differs</Badge>}
      </>
    ),
  },
  {
    name: "uptime",
    heading: "Up for",
    numeric: true,
    cell: ({ process }) => <Duration seconds={Math.round(process.uptime_seconds)} />,
  },
  { name: "rules", heading: "Rules version", numeric: true, cell: (row) => <RulesVersion row={row} /> },
  { name: "doing", heading: "What it does", cell: ({ doing }) => doing },
];

function State({ row: { process } }: { row: ProcessRow }) {
  const heard = <Duration seconds={Math.round(process.heartbeat_age_seconds)} />;
  return process.silent ? (
    <>
      <Badge tone="bad">silent</Badge> <span className={styles.detail}>heard of {heard} ago</span>
    </>
  ) : (
    <>
      <Badge tone="good">runs</Badge> <span className={styles.detail}>heard of {heard} ago</span>
    </>
  );
}

function RulesVersion({ row: { process, isBehind } }: { row: ProcessRow }) {
  if (process.rules_version === null) {
    return "–";
  }
  return (
    <>
      {process.rules_version} {isBehind && <Badge tone="warn">older</Badge>}
      <div className={styles.detail}>
        for <Duration seconds={process.rules_version_age_seconds} />
      </div>
    </>
  );
}
