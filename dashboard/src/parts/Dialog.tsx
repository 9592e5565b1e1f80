import { type ReactNode, useEffect, useId, useRef } from "react";
import styles from "./Dialog.module.css";

/**
 * A modal dialog. The browser keeps the focus in it, closes it by Escape, and gives the focus back.
 *
 * It is open as long as it is rendered; `onClose` is called when the person wants to leave it.
 */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
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
