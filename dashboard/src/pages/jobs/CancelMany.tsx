import { useDraft } from "../../drafts/useDraft";
import { Button } from "../../parts/Button";
import { OperationDialog } from "../../parts/operations/OperationDialog";
import type { Cancellation } from "./jobFilters";
import styles from "./jobs.module.css";

/** Cancels all jobs that the filters of the view find and that wait to be sent, or says what is missing for that. */
export function CancelMany({ cancellation }: { cancellation: Cancellation }) {
  const [asking, setAsking] = useDraft("cancel many", false);
  if ("why" in cancellation) {
    return <p className={styles.quiet}>{cancellation.why}</p>;
  }
  return (
    <div>
      <Button kind="danger" onClick={() => setAsking(true)}>
        Cancel all that match…
      </Button>
      {asking && (
        <OperationDialog
          wanted={{ kind: "cancel_jobs", filter: cancellation.filter }}
          action="Cancel the jobs"
          danger
          typed="cancel"
          consequence="Jobs that are queued or retrying are canceled and not sent any more. What is being sent goes on, and jobs that come later are not touched."
          onClose={() => setAsking(false)}
        />
      )}
    </div>
  );
}
