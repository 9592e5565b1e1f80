import type { ReactNode } from "react";
import { ApiProblem, messageOf, Unreachable } from "../api/problem";
import type { Tone } from "./Badge";
import styles from "./Notice.module.css";
import tones from "./tones.module.css";

/** A text that stands out. An error (`bad`) interrupts a screen reader; the others are read when it has time. */
export function Notice({ tone, title, children }: { tone: Tone; title?: string; children?: ReactNode }) {
  return (
    <div className={`${styles.notice} ${tones[tone]}`} role={tone === "bad" ? "alert" : "status"}>
      {title && <strong>{title}</strong>}
      {children && <div>{children}</div>}
    </div>
  );
}

/** An error of a query or a change, and what to do about it. Nothing where there is none. */
export function ErrorNotice({ error, doing }: { error: unknown; doing: string }) {
  if (error === null || error === undefined) {
    return null;
  }
  return (
    <Notice tone="bad" title={`Could not ${doing}.`}>
      {messageOf(error)} {remedyOf(error)}
    </Notice>
  );
}

function remedyOf(error: unknown): string {
  if (error instanceof Unreachable) {
    return "It is tried again by itself; look whether the admin process runs.";
  }
  if (error instanceof ApiProblem && error.status === 403) {
    return "Sign in with a token of a higher role to do this.";
  }
  if (error instanceof ApiProblem && error.status === 412) {
    return "Somebody else has changed it meanwhile: look at what it is now, and try again.";
  }
  if (error instanceof ApiProblem && error.status === 503) {
    return "A store is away; the page System says which.";
  }
  return "";
}

/** What stands where a list is empty: why, and what to do. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className={styles.empty}>
      <p>
        <strong>{title}</strong>
      </p>
      {children}
    </div>
  );
}
