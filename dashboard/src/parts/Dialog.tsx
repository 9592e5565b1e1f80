import { type ReactNode, useEffectEvent, useId, useLayoutEffect, useRef } from "react";
import styles from "./Dialog.module.css";

type DialogProps = {
  title: string;
  /** What is done when the person wants to leave it, as by Escape; without it the dialog cannot be left. */
  onClose?: () => void;
  children: ReactNode;
};

/**
 * A modal dialog. The browser keeps the focus in it, closes it by Escape, and gives the focus back to what had it, or
 * the page gets it if that is gone, as the row of what was deleted is. It is open as long as it is rendered.
 */
export function Dialog({ title, onClose, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  const leave = useEffectEvent(() => onClose?.());
  useLayoutEffect(() => {
    const element = dialog.current;
    const onClosed = () => {
      element?.showModal(); // the browser closes it by itself when Escape is pressed twice
      leave();
    };
    element?.addEventListener("close", onClosed);
    element?.showModal();
    return () => {
      element?.removeEventListener("close", onClosed);
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
        onClose?.();
      }}
    >
      <h2 id={titleId}>{title}</h2>
      {children}
    </dialog>
  );
}

/** The buttons below a dialog. */
export function DialogActions({ children }: { children: ReactNode }) {
  return <div className={styles.actions}>{children}</div>;
}

function focusPageIfLost(): void {
  if (document.activeElement === document.body) {
    document.getElementById("content")?.focus({ preventScroll: true });
  }
}
