import { createContext, type ReactNode, use, useCallback, useRef, useState } from "react";
import styles from "./ToastProvider.module.css";

type Toast = { id: number; text: string };
type Say = (text: string) => void;

const SHOWN_MS = 6000;
const ToastContext = createContext<Say | null>(null);

/** Shows for some seconds, and tells screen readers, what has been done. Errors stand where they happened instead. */
export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<readonly Toast[]>([]);
  const lastId = useRef(0);
  const say = useCallback((text: string) => {
    lastId.current += 1;
    const id = lastId.current;
    setToasts((before) => [...before.slice(-2), { id, text }]);
    setTimeout(() => setToasts((before) => before.filter((toast) => toast.id !== id)), SHOWN_MS);
  }, []);
  return (
    <ToastContext value={say}>
      {children}
      <div className={styles.toasts} role="status" aria-live="polite">
        {toasts.map((toast) => (
          <div key={toast.id} className={styles.toast}>
            {toast.text}
          </div>
        ))}
      </div>
    </ToastContext>
  );
}

/** A function that says what has been done. */
export function useSay(): Say {
  const say = use(ToastContext);
  if (say === null) {
    throw new Error("There is no ToastProvider above this part.");
  }
  return say;
}
