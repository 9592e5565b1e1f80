import { useState } from "react";
import { Button } from "./Button";
import styles from "./Pager.module.css";

type PagerProps = {
  /** The cursor of this page, '' for the first; that of the next one, null where there is none. */
  after: string;
  next: string | null | undefined;
  onPage: (after: string) => void;
  /** What is said about the size of the whole, if that is known. */
  summary?: string;
};

/** Goes from page to page by the cursors of the server: forward, one back as far as this view came, or to the first. */
export function Pager({ after, next, onPage, summary }: PagerProps) {
  const [earlier, setEarlier] = useState<readonly string[]>([]);
  const forward = () => {
    setEarlier([...earlier, after]);
    onPage(next ?? "");
  };
  const back = () => {
    onPage(earlier.at(-1) ?? "");
    setEarlier(earlier.slice(0, -1));
  };
  if (after === "" && !next && !summary) {
    return null;
  }
  return (
    <nav className={styles.pager} aria-label="Pages">
      <Button disabled={after === ""} onClick={back}>
        {earlier.length > 0 ? "Previous page" : "First page"}
      </Button>
      <Button disabled={!next} onClick={forward}>
        Next page
      </Button>
      {summary && <span className={styles.summary}>{summary}</span>}
    </nav>
  );
}
