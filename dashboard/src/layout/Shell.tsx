import type { ReactNode } from "react";
import { Link, useLocation } from "wouter";
import { links } from "../urls/links";
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
      <button type="button" className={styles.skip} onClick={() => document.getElementById("content")?.focus()}>
        Skip to the content
      </button>
      <header className={styles.header}>
        <Link href={links.overview()} className={styles.brand}>
          Penstock
        </Link>
        <Menu key={path}>
          <Areas path={path} />
          <ViewOptions />
        </Menu>
      </header>
      <LiveBar />
      <main id="content" className={styles.main} tabIndex={-1}>
        {children}
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
