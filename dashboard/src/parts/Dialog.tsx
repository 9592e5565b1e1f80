import { type ReactNode, useId, useLayoutEffect, useRef } from "react";
import styles from "./Dialog.module.css";

/**
 * A modal dialog. The browser keeps the focus in it, closes it by Escape, and gives the focus back to what had it, or
 * the page gets it if that is gone, as the row of what was deleted is.
 *
 * It is open as long as it is rendered; `onClose` is called when the person wants to leave it.
 */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => {
      element?.close(); // while it is still in the document, else the browser gives no focus back
      setTimeout(focusPageIfLost);
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      className={styles.dialog}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <h2 id={titleId}>{title}</h2>
      {children}
    </dialog>
  );
}

function focusPageIfLost(): void {
  if (document.activeElement === document.body) {
    document.getElementById("content")?.focus({ preventScroll: true });
  }
}
