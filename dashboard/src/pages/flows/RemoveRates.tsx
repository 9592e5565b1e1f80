import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Schemas } from "../../api/client";
import { Button } from "../../parts/Button";
import { ConfirmDialog } from "../../parts/ConfirmDialog";
import { useSay } from "../../parts/ToastProvider";
import { useApi } from "../../session/SessionProvider";

/** Removes the rate that was set for a flow, so that it drains as its rule says. */
export function RemoveRates({ flow }: { flow: Schemas["Flow"] }) {
  const [asking, setAsking] = useState(false);
  const api = useApi();
  const queries = useQueryClient();
  const say = useSay();
  const remove = async () => {
    await api.DELETE("/v1/flows/{flow_id}/rate", { params: { path: { flow_id: flow.id } } });
    await queries.invalidateQueries();
    say(`${flow.caller} drains as ${flow.rule_id} says.`);
  };
  if (flow.own_rate === null && !asking) {
    return null;
  }
  return (
    <>
      <Button onClick={() => setAsking(true)}>Remove its own rate</Button>
      {asking && (
        <ConfirmDialog
          title="Remove its own rate?"
          action="Remove the rate"
          onConfirm={remove}
          onClose={() => setAsking(false)}
        >
          <p>
            <strong>{flow.caller}</strong> then drains as the rule <strong>{flow.rule_id}</strong> says.
          </p>
        </ConfirmDialog>
      )}
    </>
  );
}
