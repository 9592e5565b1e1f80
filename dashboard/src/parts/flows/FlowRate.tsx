import type { Schemas } from "../../api/client";
import { formatRate } from "../numbers";
import styles from "./FlowState.module.css";

type Flow = Schemas["Flow"];

/** How fast a flow drains, and how fast it may. */
export function FlowRate({ flow }: { flow: Flow }) {
  return (
    <>
      {formatRate(flow.actual_per_second)}
      <div className={styles.detail}>
        of {formatRate(flow.permitted_per_second)}
        {flow.own_rate !== null && ", own rate"}
      </div>
    </>
  );
}
