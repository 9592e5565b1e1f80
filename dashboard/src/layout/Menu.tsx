import { type ReactNode, useId, useRef, useState } from "react";
import { Button } from "../parts/Button";
import styles from "./Menu.module.css";

/** What stands in the header. Where the window is narrow it is behind a button, and Escape closes it. */
export function Menu({ children }: { children: ReactNode }) {
  const [open, setOpen] = useState(false);
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const closeByEscape = (key: string) => {
    if (key === "Escape" && open) {
      setOpen(false);
      button.current?.focus();
    }
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape is heard from all that the menu contains
    <div className={styles.menu} onKeyDown={(event) => closeByEscape(event.key)}>
      <div className={styles.toggle}>
        <Button ref={button} aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)}>
          Menu
        </Button>
      </div>
      <div id={id} className={open ? styles.content : `${styles.content} ${styles.closed}`}>
        {children}
      </div>
    </div>
  );
}
