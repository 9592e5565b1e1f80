import type { ReactNode } from "react";
import { Link } from "wouter";
import styles from "./Button.module.css";

type ButtonLinkProps = { href: string; kind?: "plain" | "primary"; children: ReactNode };

/** A link to another page that looks like a button, where it stands among buttons. */
export function ButtonLink({ href, kind = "plain", children }: ButtonLinkProps) {
  return (
    <Link href={href} className={`${styles.button} ${styles.link} ${styles[kind] ?? ""}`}>
      {children}
    </Link>
  );
}
