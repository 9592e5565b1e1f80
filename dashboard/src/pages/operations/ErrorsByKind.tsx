import { failureOf } from "../../parts/jobs/failureCodes";
import { formatCount } from "../../parts/numbers";
import { hasEnded, type Operation } from "../../parts/operations/words";
import { type Column, Table } from "../../parts/Table";

type Kind = { code: string; count: number };

const COLUMNS: readonly Column<Kind>[] = [
  { name: "code", heading: "Error", cell: ({ code }) => <code>{code}</code> },
  { name: "words", heading: "Meaning", cell: ({ code }) => failureOf(code).words },
  { name: "remedy", heading: "What to do", cell: ({ code }) => failureOf(code).remedy ?? "–" },
  { name: "count", heading: "How many", numeric: true, cell: ({ count }) => formatCount(count) },
];

/** What an operation could not touch, by the reason; the most frequent first. */
export function ErrorsByKind({ operation }: { operation: Operation }) {
  const kinds = Object.entries(operation.errors)
    .map(([code, count]) => ({ code, count }))
    .sort((one, other) => other.count - one.count);
  if (kinds.length === 0) {
    return <p>{hasEnded(operation) ? "None." : "None so far."}</p>;
  }
  return <Table caption="Errors by kind" columns={COLUMNS} rows={kinds} keyOf={({ code }) => code} empty={null} />;
}
