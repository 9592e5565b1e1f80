import type { ReactNode } from "react";
import styles from "./Badge.module.css";
import tones from "./tones.module.css";

export type Tone = "good" | "warn" | "bad" | "accent" | "quiet";

/** A short word for a state. The word says it; the colour only helps. */
export function Badge({ tone, children }: { tone: Tone; children: ReactNode }) {
  return <span className={`${styles.badge} ${tones[tone]}`}>{children}</span>;
}
