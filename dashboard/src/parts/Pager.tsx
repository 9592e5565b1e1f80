import { useRef } from "react";
import { useTrail } from "../urls/trail";
import { Button } from "./Button";
import styles from "./Pager.module.css";

type PagerProps = {
  /** The cursor of this page, '' for the first; that of the next one, null where there is none. */
  after: string;
  next: string | null | undefined;
  /** Shows the page at a cursor: changes the filter `after` of the address (`useFilters`), and nothing else. */
  onPage: (after: string) => void;
  /** What is said about the size of the whole, if that is known. */
  summary?: string;
};

/** Goes from page to page by the cursors of the server: forward, and back by the way that one came, or to the first. */
export function Pager({ after, next, onPage, summary }: PagerProps) {
  const nav = useRef<HTMLElement>(null);
  const trail = useTrail();
  const show = (cursor: string) => {
    onPage(cursor);
    nav.current?.parentElement?.scrollIntoView?.({ block: "start" });
  };
  if (after === "" && !next && !summary) {
    return null;
  }
  return (
    <nav ref={nav} className={styles.pager} aria-label="Pages">
      <Button aria-disabled={after === ""} onClick={() => after !== "" && show(trail.at(-1) ?? "")}>
        {trail.length > 0 ? "Previous page" : "First page"}
      </Button>
      <Button aria-disabled={!next} onClick={() => next && show(next)}>
        Next page
      </Button>
      {summary && <span className={styles.summary}>{summary}</span>}
    </nav>
  );
}
