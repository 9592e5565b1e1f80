import type { ReactNode } from "react";
import { Link, useLocation } from "wouter";
import { links } from "../urls/links";
import { ErrorBoundary } from "./ErrorBoundary";
import { LiveBar } from "./LiveBar";
import { Menu } from "./Menu";
import styles from "./Shell.module.css";
import { useFocusOnNavigation } from "./useFocusOnNavigation";
import { ViewOptions } from "./ViewOptions";

const AREAS: readonly (readonly [string, string])[] = [
  ["Overview", links.overview()],
  ["Rules", links.rules()],
  ["Queues", links.flows()],
  ["Jobs", links.jobs()],
  ["Dead letters", links.deadLetters()],
  ["Operations", links.operations()],
  ["Explain", links.explain()],
  ["Audit", links.audit()],
  ["System", links.system()],
];

/** What surrounds each page: where one can go, who one is, and whether what is shown is live. */
export function Shell({ children }: { children: ReactNode }) {
  const [path] = useLocation();
  useFocusOnNavigation(path);
  return (
    <div className={styles.shell}>
      <header className={styles.header}>
        <button type="button" className={styles.skip} onClick={() => document.getElementById("content")?.focus()}>
          Skip to the content
        </button>
        <Link href={links.overview()} className={styles.brand}>
          Penstock
        </Link>
        <Menu key={path}>
          <Areas path={path} />
          <ViewOptions />
        </Menu>
      </header>
      <ErrorBoundary what="How live this is">
        <LiveBar />
      </ErrorBoundary>
      <main id="content" className={styles.main} tabIndex={-1}>
        <ErrorBoundary key={path} what="This page">
          {children}
        </ErrorBoundary>
      </main>
    </div>
  );
}

function Areas({ path }: { path: string }) {
  return (
    <nav className={styles.areas} aria-label="Areas">
      {AREAS.map(([name, href]) => {
        const here = href === "/" ? path === "/" : path.startsWith(href);
        return (
          <Link key={href} href={href} className={styles.area} aria-current={here ? "page" : undefined}>
            {name}
          </Link>
        );
      })}
    </nav>
  );
}
