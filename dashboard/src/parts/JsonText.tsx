import { useMemo } from "react";
import styles from "./JsonText.module.css";
import { prettyJson } from "./prettyJson";

type JsonTextProps = {
  text: string;
  label: string;
  /** Shows the text as it came, and JSON not indented. */
  raw?: boolean;
};

/** A text that a caller or an app server sent, as inert text. JSON is indented, and its numbers stay as they came. */
export function JsonText({ text, label, raw = false }: JsonTextProps) {
  const shown = useMemo(() => (raw ? text : (prettyJson(text) ?? text)), [text, raw]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
    <section className={styles.frame} aria-label={label} tabIndex={0}>
      <pre className={styles.text}>{shown}</pre>
    </section>
  );
}
