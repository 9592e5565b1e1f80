import { type ReactNode, useState } from "react";
import type { Schemas } from "../../api/client";
import { useMay } from "../../session/SessionProvider";
import { Button } from "../Button";
import styles from "./FlowActions.module.css";
import { PauseButton } from "./PauseButton";
import { RateDialog } from "./RateDialog";

type FlowActionsProps = {
  flow: Schemas["Flow"];
  /** What else can be done. */
  children?: ReactNode;
};

/** What an operator can do to a flow: change its rate, pause it, resume it. Nothing for who may not. */
export function FlowActions({ flow, children }: FlowActionsProps) {
  const may = useMay("operator");
  // The flow as it was when the dialog was opened: what is shown there must not change under the hands of a person.
  const [rated, setRated] = useState<Schemas["Flow"] | null>(null);
  if (!may) {
    return null;
  }
  return (
    <div className={styles.actions}>
      <Button aria-label={`Change the rate of ${flow.caller}`} onClick={() => setRated(flow)}>
        Change rate
      </Button>
      <PauseButton flow={flow} />
      {children}
      {rated && <RateDialog flow={rated} onClose={() => setRated(null)} />}
    </div>
  );
}
