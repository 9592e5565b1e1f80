import { useState } from "react";
import styles from "./Folded.module.css";

/** How much of a long text is shown at first, in characters. */
const SHOWN = 160;

/** A text of which only the beginning is shown, if it is long, until the reader asks for all of it. */
export function Folded({ text }: { text: string }) {
  const [whole, setWhole] = useState(false);
  if (text.length <= SHOWN) {
    return text;
  }
  return (
    <>
      {whole ? text : `${text.slice(0, SHOWN)}…`}{" "}
      <button type="button" className={styles.more} aria-expanded={whole} onClick={() => setWhole(!whole)}>
        {whole ? "less" : `all ${text.length} characters`}
      </button>
    </>
  );
}
