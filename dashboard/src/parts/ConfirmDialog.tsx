import { type ReactNode, useId, useState } from "react";
import { Button } from "./Button";
import { Dialog, DialogActions } from "./Dialog";
import styles from "./Dialog.module.css";
import { ErrorNotice } from "./Notice";

type ConfirmDialogProps = {
  title: string;
  /** What the button says: the deed itself, such as `Purge`. */
  action: string;
  danger?: boolean;
  /** A text that has to be typed first, for what cannot be undone. */
  typed?: string;
  /** Whether it cannot be done as things are; what the dialog contains says why. */
  blocked?: boolean;
  /** What is done. The dialog stays, with the error, if it rejects; otherwise `onClose` is called. */
  onConfirm: () => Promise<unknown>;
  onClose: () => void;
  children?: ReactNode;
};

/** Asks whether something shall be done, does it, and shows why it could not be done. */
export function ConfirmDialog({
  title,
  action,
  danger,
  typed,
  blocked,
  onConfirm,
  onClose,
  children,
}: ConfirmDialogProps) {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const textId = useId();
  const confirm = async () => {
    setBusy(true);
    setError(null);
    try {
      await onConfirm();
      onClose();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  // Buttons keep the focus while it is done, so they are not disabled. What has been begun is waited for, so that its
  // end is seen; the client gives up after half a minute.
  const leave = () => !busy && onClose();
  return (
    <Dialog title={title} onClose={leave}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!busy) {
            void confirm();
          }
        }}
      >
        {children}
        {typed !== undefined && (
          <p>
            <label htmlFor={textId}>
              Type <code>{typed}</code> to confirm.
            </label>
            <input
              id={textId}
              className={styles.word}
              value={text}
              autoComplete="off"
              onChange={(event) => setText(event.target.value)}
            />
          </p>
        )}
        <ErrorNotice error={error} doing={action.toLowerCase()} />
        <DialogActions>
          <Button aria-disabled={busy} onClick={leave}>
            Leave it
          </Button>
          <Button
            type="submit"
            kind={danger ? "danger" : "primary"}
            aria-disabled={busy}
            disabled={blocked || (typed !== undefined && text !== typed)}
          >
            {busy ? "Working…" : action}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
