import { Link } from "wouter";
import type { Status } from "../../live/events";
import { Badge } from "../../parts/Badge";
import { Notice } from "../../parts/Notice";
import styles from "./AttentionList.module.css";
import { type Attention, attentionOf } from "./attention";

const WORDS: Record<Attention["tone"], string> = { bad: "problem", warn: "warning", quiet: "note" };

/** What needs attention, the worst first, each with a link to where it is dealt with. */
export function AttentionList({ status }: { status: Status }) {
  const found = attentionOf(status);
  if (found.length === 0) {
    return <Notice tone="good" title="All is well: nothing needs attention." />;
  }
  return (
    <ul className={styles.list}>
      {found.map(({ tone, text, href, remedy }) => (
        <li key={text} className={styles.item}>
          <span className={styles.word}>
            <Badge tone={tone}>{WORDS[tone]}</Badge>
          </span>
          <span className={styles.text}>{text}</span>
          <Link href={href}>{remedy}</Link>
        </li>
      ))}
    </ul>
  );
}
