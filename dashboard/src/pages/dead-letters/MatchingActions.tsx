import { useDraft } from "../../drafts/useDraft";
import { Button } from "../../parts/Button";
import { OperationDialog } from "../../parts/operations/OperationDialog";
import type { DeadLetterFilter } from "./letterFilters";

/** Replays or deletes all dead letters that the filters of the view find, on all its pages. */
export function MatchingActions({ filter }: { filter: DeadLetterFilter }) {
  const [asked, setAsked] = useDraft<"replay" | "delete" | null>("all that match", null);
  const close = () => setAsked(null);
  return (
    <>
      <Button kind="primary" onClick={() => setAsked("replay")}>
        Replay all that match…
      </Button>
      <Button kind="danger" onClick={() => setAsked("delete")}>
        Delete all that match…
      </Button>
      {asked === "replay" && (
        <OperationDialog
          wanted={{ kind: "replay_dead_letters", filter }}
          action="Replay them"
          consequence="They wait at the end of their flows again, the oldest first, with all attempts, and are sent at the permitted rate. A job that fails again is not replayed twice."
          onClose={close}
        />
      )}
      {asked === "delete" && (
        <OperationDialog
          wanted={{ kind: "delete_dead_letters", filter }}
          action="Delete them"
          danger
          typed="delete"
          consequence="All that is kept of these jobs is deleted, and they can never be replayed."
          onClose={close}
        />
      )}
    </>
  );
}
