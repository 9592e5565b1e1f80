import { Link } from "wouter";
import type { Schemas } from "../../api/client";
import { Duration } from "../../time/Moment";
import { links } from "../../urls/links";
import { formatBytes, formatCount } from "../numbers";
import type { Column } from "../Table";
import { FlowRate } from "./FlowRate";
import { FlowState } from "./FlowState";
import styles from "./FlowState.module.css";

type Flow = Schemas["Flow"];

/** The columns of a table of flows; those that can be sorted by name the sort of the API. */
export const FLOW_COLUMNS: readonly Column<Flow>[] = [
  {
    name: "caller",
    heading: "Caller",
    cell: (flow) => (
      <>
        <Link href={links.flow(flow.id)}>{flow.caller}</Link>
        <div className={styles.detail}>
          under <Link href={links.rule(flow.rule_id)}>{flow.rule_id}</Link>
          {flow.caller !== flow.descriptor && `, counted with ${flow.descriptor}`}
        </div>
      </>
    ),
  },
  {
    name: "depth",
    heading: "Jobs",
    sort: "depth",
    numeric: true,
    cell: (flow) => (
      <>
        {formatCount(flow.depth)}
        <div className={styles.detail}>{formatBytes(flow.bytes)}</div>
      </>
    ),
  },
  {
    name: "oldest",
    heading: "Oldest",
    sort: "age",
    numeric: true,
    cell: (flow) => <Duration seconds={flow.oldest_age_seconds} />,
  },
  { name: "rate", heading: "Rate", numeric: true, cell: (flow) => <FlowRate flow={flow} /> },
  { name: "in_flight", heading: "In flight", numeric: true, cell: (flow) => formatCount(flow.in_flight) },
  { name: "eta", heading: "Empty in", numeric: true, cell: (flow) => <Duration seconds={flow.eta_seconds} /> },
  { name: "state", heading: "State", cell: (flow) => <FlowState flow={flow} /> },
];
