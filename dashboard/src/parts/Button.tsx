import type { ComponentProps } from "react";
import styles from "./Button.module.css";

type Kind = "plain" | "primary" | "danger";

/** A button. Its type is `button`, so that it submits no form by accident. */
export function Button({ kind = "plain", ...rest }: { kind?: Kind } & ComponentProps<"button">) {
  return <button type="button" {...rest} className={`${styles.button} ${styles[kind] ?? ""}`} />;
}
