import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Api, Schemas } from "../../api/client";
import { bodyOf } from "../../api/client";
import { Button } from "../../parts/Button";
import { ConfirmDialog } from "../../parts/ConfirmDialog";
import { counted } from "../../parts/numbers";
import { useSay } from "../../parts/ToastProvider";
import { useApi } from "../../session/SessionProvider";

/** Cancels all that waits in a flow, once the word is typed. */
export function PurgeFlow({ flow }: { flow: Schemas["Flow"] }) {
  const [asking, setAsking] = useState(false);
  const [canceled, setCanceled] = useState(0);
  const api = useApi();
  const queries = useQueryClient();
  const say = useSay();
  const purge = async () => {
    const count = await purgeAll(api, flow.id, setCanceled);
    await queries.invalidateQueries();
    say(`${counted(count, "job")} of ${flow.caller} ${count === 1 ? "is" : "are"} canceled.`);
  };
  return (
    <>
      <Button kind="danger" onClick={() => setAsking(true)}>
        Purge
      </Button>
      {asking && (
        <ConfirmDialog
          title="Cancel everything that waits here?"
          action="Purge"
          danger
          typed="purge"
          onConfirm={purge}
          onClose={() => {
            setAsking(false);
            setCanceled(0);
          }}
        >
          <p>
            {counted(flow.waiting + flow.backing_off, "job")} of <strong>{flow.caller}</strong> under the rule{" "}
            <strong>{flow.rule_id}</strong> will be canceled for good.{" "}
            {flow.in_flight > 0 && `${counted(flow.in_flight, "job")} in flight will not. `}To stop the draining without
            losing anything, pause it instead.
          </p>
          {canceled > 0 && <p role="status">{counted(canceled, "job")} canceled so far…</p>}
        </ConfirmDialog>
      )}
    </>
  );
}

/** Purge a flow request by request until nothing is left, and return how many jobs were canceled. */
async function purgeAll(api: Api, flowId: string, onProgress: (canceled: number) => void): Promise<number> {
  let canceled = 0;
  let after: string | null = null;
  do {
    const query: { after?: string } = after === null ? {} : { after };
    const call = api.POST("/v1/flows/{flow_id}/purge", { params: { path: { flow_id: flowId }, query } });
    const page: Schemas["FlowPurge"] = await bodyOf(call);
    canceled += page.canceled;
    after = page.next;
    onProgress(canceled);
  } while (after !== null);
  return canceled;
}
