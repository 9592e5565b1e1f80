import type { Schemas } from "../../api/client";
import { Badge, type Tone } from "../Badge";
import styles from "./FlowState.module.css";

type Flow = Schemas["Flow"];

const STATES: Record<Flow["state"], readonly [string, Tone]> = {
  draining: ["draining", "good"],
  paused: ["paused", "warn"],
  held: ["held", "bad"],
  waiting_for_place: ["waiting for a place", "accent"],
  waiting_for_rule: ["waiting for a rule", "accent"],
};

/** The state of a flow as a word, and why it is so. */
export function FlowState({ flow }: { flow: Flow }) {
  const [word, tone] = STATES[flow.state];
  return (
    <>
      <Badge tone={tone}>{word}</Badge>
      {flow.state !== "draining" && <div className={styles.detail}>{flow.state_detail}</div>}
    </>
  );
}
