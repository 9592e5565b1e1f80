import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Button } from "../../parts/Button";
import { ConfirmDialog } from "../../parts/ConfirmDialog";
import { hasEnded, type Operation, wordsOfKind } from "../../parts/operations/words";
import { Requires } from "../../parts/Requires";
import { useSay } from "../../parts/ToastProvider";
import { useApi } from "../../session/SessionProvider";

/** Cancels an operation that is under way. */
export function CancelOperation({ operation }: { operation: Operation }) {
  const api = useApi();
  const say = useSay();
  const queries = useQueryClient();
  const [asking, setAsking] = useState(false);
  const cancel = async () => {
    await api.DELETE("/v1/operations/{operation_id}", { params: { path: { operation_id: operation.id } } });
    await queries.invalidateQueries();
    say("The operation is told to end.");
  };
  if ((hasEnded(operation) || operation.state === "canceling") && !asking) {
    return null;
  }
  return (
    <Requires role="operator" to="cancel this operation">
      <Button kind="danger" onClick={() => setAsking(true)}>
        Cancel this operation
      </Button>
      {asking && (
        <ConfirmDialog
          title="Cancel this operation?"
          action="Cancel the operation"
          danger
          onConfirm={cancel}
          onClose={() => setAsking(false)}
        >
          <p>What it has {wordsOfKind(operation.kind).done} stays so. The rest is not touched.</p>
        </ConfirmDialog>
      )}
    </Requires>
  );
}
