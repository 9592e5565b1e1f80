import { Link } from "wouter";
import type { Schemas } from "../../api/client";
import { failureOf } from "../../parts/jobs/failureCodes";
import { formatCount } from "../../parts/numbers";
import type { Column } from "../../parts/Table";
import { Moment } from "../../time/Moment";
import { links } from "../../urls/links";
import styles from "./letters.module.css";

export type Letter = Schemas["DeadLetterSummary"];

const COLUMNS: readonly Column<Letter>[] = [
  {
    name: "id",
    heading: "Job",
    unbroken: true,
    cell: (letter) => (
      <Link href={links.job(letter.id)} className={styles.id}>
        {letter.id}
      </Link>
    ),
  },
  {
    name: "why",
    heading: "Why",
    cell: ({ error }) => (
      <>
        {error.message || failureOf(error.code).words} <code>{error.code}</code>
      </>
    ),
  },
  { name: "status", heading: "App server", numeric: true, cell: (letter) => letter.response_status ?? "–" },
  { name: "attempts", heading: "Attempts", numeric: true, cell: (letter) => formatCount(letter.attempts) },
  { name: "rule", heading: "Rule", cell: (letter) => <Link href={links.rule(letter.rule_id)}>{letter.rule_id}</Link> },
  { name: "caller", heading: "Caller", cell: (letter) => letter.descriptor },
  { name: "failed", heading: "Failed", cell: (letter) => <Moment at={letter.failed_at} /> },
];

/** The columns; with boxes to check for those who may do something with what is checked. */
export function columnsOf(
  mayCheck: boolean,
  checked: ReadonlySet<string>,
  onCheck: (id: string, on: boolean) => void,
): readonly Column<Letter>[] {
  if (!mayCheck) {
    return COLUMNS;
  }
  const box: Column<Letter> = {
    name: "checked",
    heading: "Check",
    cell: ({ id }) => (
      <input
        type="checkbox"
        aria-label={`Check ${id}`}
        checked={checked.has(id)}
        onChange={(event) => onCheck(id, event.target.checked)}
      />
    ),
  };
  return [box, ...COLUMNS];
}
