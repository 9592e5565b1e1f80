import { Button } from "../parts/Button";
import { Dialog, DialogActions } from "../parts/Dialog";

/** Asks whether a page shall be left on which something is typed that is not saved. */
export function LeaveDialog({ onStay, onLeave }: { onStay: () => void; onLeave: () => void }) {
  return (
    <Dialog title="Leave without saving?" onClose={onStay}>
      <p>What you have changed on this page is not saved. It is lost when you leave.</p>
      <DialogActions>
        <Button onClick={onStay}>Stay on this page</Button>
        <Button kind="danger" onClick={onLeave}>
          Leave and lose it
        </Button>
      </DialogActions>
    </Dialog>
  );
}
