import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Api } from "../../api/client";
import { Button } from "../../parts/Button";
import { ConfirmDialog } from "../../parts/ConfirmDialog";
import { counted, formatCount } from "../../parts/numbers";
import { useApi } from "../../session/SessionProvider";
import { deleteChecked, type Outcome, replayChecked } from "./checkedDeeds";

type CheckedActionsProps = {
  ids: readonly string[];
  /** Whether there is anything to check. */
  offered: boolean;
  /** Called with what has become of them, and the deed in words. */
  onDone: (outcome: Outcome, deed: string) => void;
};

type Asked = { deed: "replay" | "delete"; ids: readonly string[] };

/** Replays or deletes the dead letters that are checked. */
export function CheckedActions({ ids, offered, onDone }: CheckedActionsProps) {
  // Those that were checked when the button was pressed are meant, whatever the list shows by then.
  const [asked, setAsked] = useState<Asked | null>(null);
  return (
    <>
      {offered && (
        <>
          <Button disabled={ids.length === 0} onClick={() => setAsked({ deed: "replay", ids })}>
            Replay {formatCount(ids.length)} checked…
          </Button>
          <Button kind="danger" disabled={ids.length === 0} onClick={() => setAsked({ deed: "delete", ids })}>
            Delete {formatCount(ids.length)} checked…
          </Button>
        </>
      )}
      {asked && <CheckedDialog asked={asked} onDone={onDone} onClose={() => setAsked(null)} />}
    </>
  );
}

type CheckedDialogProps = { asked: Asked; onDone: CheckedActionsProps["onDone"]; onClose: () => void };

function CheckedDialog({ asked: { deed, ids }, onDone, onClose }: CheckedDialogProps) {
  const api = useApi();
  const queries = useQueryClient();
  const confirm = (does: (api: Api, ids: readonly string[]) => Promise<Outcome>, done: string) => async () => {
    try {
      onDone(await does(api, ids), done);
    } finally {
      await queries.invalidateQueries();
    }
  };
  const letters = counted(ids.length, "dead letter");
  if (deed === "replay") {
    return (
      <ConfirmDialog
        title={`Replay ${letters}?`}
        action="Replay the checked"
        onConfirm={confirm(replayChecked, "replayed")}
        onClose={onClose}
      >
        <p>They wait at the end of their flows again, with all attempts, and are sent at the permitted rate.</p>
      </ConfirmDialog>
    );
  }
  return (
    <ConfirmDialog
      title={`Delete ${letters}?`}
      action="Delete the checked"
      danger
      typed="delete"
      onConfirm={confirm(deleteChecked, "deleted")}
      onClose={onClose}
    >
      <p>All that is kept of these jobs is deleted, and they can never be replayed.</p>
    </ConfirmDialog>
  );
}
