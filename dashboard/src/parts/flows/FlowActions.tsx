import type { ReactNode } from "react";
import type { Schemas } from "../../api/client";
import { Button } from "../Button";
import styles from "./FlowActions.module.css";
import { PauseButton } from "./PauseButton";

type Flow = Schemas["Flow"];

type FlowActionsProps = {
  flow: Flow;
  /** Asks for another rate. */
  onRate: (flow: Flow) => void;
  /** What else can be done. */
  children?: ReactNode;
};

/** What an operator can do to a flow: change its rate, pause it, resume it. */
export function FlowActions({ flow, onRate, children }: FlowActionsProps) {
  return (
    <div className={styles.actions}>
      <Button aria-label={`Change rate of ${flow.caller}`} onClick={() => onRate(flow)}>
        Change rate
      </Button>
      <PauseButton flow={flow} />
      {children}
    </div>
  );
}
