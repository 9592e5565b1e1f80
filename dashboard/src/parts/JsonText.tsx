import styles from "./JsonText.module.css";
import { prettyJson } from "./prettyJson";

/** A text that a caller or an app server sent, as inert text. JSON is indented, and its numbers stay as they came. */
export function JsonText({ text, label }: { text: string; label: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
    <section className={styles.frame} aria-label={label} tabIndex={0}>
      <pre className={styles.text}>{prettyJson(text) ?? text}</pre>
    </section>
  );
}
