import { useEffect, useRef, useState } from "react";
import { writeJson } from "../../api/json";
import { useDraft } from "../../drafts/useDraft";
import { Button } from "../../parts/Button";
import { Empty, ErrorNotice, Notice } from "../../parts/Notice";
import { Section } from "../../parts/Page";
import { type Column, Table } from "../../parts/Table";
import { Moment } from "../../time/Moment";
import styles from "./ConflictMerge.module.css";
import type { Conflict } from "./conflict";
import { type MergeRow, mergedFields, mergeRows, type Side, valueAt } from "./merge";
import type { Fields } from "./rule";

type ConflictMergeProps = {
  conflict: Conflict;
  /** Saves the merged fields. What it rejects with is shown. */
  onSave: (fields: Fields) => Promise<unknown>;
  /** Goes back to the form, with the merge as it stands. */
  onEdit: (fields: Fields) => void;
};

/** Shows what somebody else has changed meanwhile, field by field, and lets one choose what the rule shall have. */
export function ConflictMerge({ conflict, onSave, onEdit }: ConflictMergeProps) {
  const { base, yours, theirs } = conflict;
  const [rows, setRows] = useDraft("merge", () => mergeRows(base, yours, theirs ?? base));
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const frame = useRef<HTMLDivElement>(null);
  useEffect(() => frame.current?.focus(), []); // what had the focus, in the form, is gone
  const open = rows.filter((row) => row.side === null).length;
  const fields = mergedFields(yours, theirs ?? base, rows);
  const choose = (name: string, side: Side) => setRows(rows.map((row) => (row.name === name ? { ...row, side } : row)));
  const save = async () => {
    setBusy(true);
    setError(null);
    await onSave(fields).catch(setError);
    setBusy(false);
  };
  return (
    <Section title="Somebody else has changed this rule">
      <div ref={frame} tabIndex={-1} className={styles.merge}>
        <WhatHappened theirs={theirs} open={open} />
        {theirs !== null && (
          <Table
            caption="What differs between your version and theirs"
            columns={columnsOf(conflict, choose)}
            rows={rows}
            keyOf={(row) => row.name}
            empty={<Empty title="Both versions are the same. Save to go on." />}
          />
        )}
        <ErrorNotice error={error} doing="save the rule" />
        <div className={styles.actions}>
          <Button kind="primary" disabled={busy || open > 0} onClick={() => void save()}>
            {theirs === null ? "Create it again" : "Save the merged rule"}
          </Button>
          <Button disabled={open > 0} onClick={() => onEdit(fields)}>
            Go on editing
          </Button>
        </div>
      </div>
    </Section>
  );
}

function WhatHappened({ theirs, open }: { theirs: Fields | null; open: number }) {
  if (theirs === null) {
    return (
      <Notice tone="warn" title="The rule was deleted while you edited it.">
        You can create it again with your fields, or leave it.
      </Notice>
    );
  }
  return (
    <Notice tone="warn" title="Nothing is saved yet.">
      {String(theirs.updated_by ?? "Another client of MongoDB")} has saved version {String(theirs.version)},{" "}
      <Moment at={typeof theirs.updated_at === "string" ? theirs.updated_at : null} only="relative" />. What only one of
      you has changed is chosen already. {open > 0 ? `Choose for ${open} more.` : "Look at it, and save."}
    </Notice>
  );
}

function columnsOf({ base, yours, theirs }: Conflict, choose: (name: string, side: Side) => void): Column<MergeRow>[] {
  const choice = (side: Side, fields: Fields) => (row: MergeRow) => (
    <label className={styles.choice}>
      <input
        type="radio"
        name={row.name}
        checked={row.side === side}
        aria-label={`${side === "yours" ? "Your" : "Their"} ${row.name}`}
        onChange={() => choose(row.name, side)}
      />
      <Values row={row} fields={fields} />
    </label>
  );
  return [
    { name: "field", heading: "Field", cell: (row) => <code>{row.name}</code> },
    { name: "base", heading: "Before", cell: (row) => <Values row={row} fields={base} /> },
    { name: "yours", heading: "Yours", cell: choice("yours", yours) },
    { name: "theirs", heading: "Theirs", cell: choice("theirs", theirs ?? {}) },
  ];
}

/** The values of the fields of a row, by name where there are several. */
function Values({ row, fields }: { row: MergeRow; fields: Fields }) {
  const set = row.paths
    .map((path) => [path.join("."), valueAt(fields, path)] as const)
    .filter(([, value]) => value !== undefined);
  if (set.length === 0) {
    return <span>default</span>;
  }
  return (
    <span>
      {set.map(([name, value]) => (
        <span key={name} className={styles.value}>
          {row.paths.length > 1 && `${name} `}
          <code>{writeJson(value)}</code>
        </span>
      ))}
    </span>
  );
}
