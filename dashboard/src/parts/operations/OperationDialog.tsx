import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useId } from "react";
import { useLocation } from "wouter";
import { bodyOf, type Schemas } from "../../api/client";
import { useDraft, useUnsaved } from "../../drafts/useDraft";
import { useApi } from "../../session/SessionProvider";
import { links } from "../../urls/links";
import { ConfirmDialog } from "../ConfirmDialog";
import { ErrorNotice } from "../Notice";
import { counted, formatCount } from "../numbers";
import { FilterText } from "./FilterText";
import styles from "./OperationDialog.module.css";
import { type OperationKind, type Total, wordsOfKind } from "./words";

/** What an operation is about: a kind and the filter that belongs to it. */
export type Wanted =
  | { kind: "replay_dead_letters" | "delete_dead_letters"; filter: Schemas["DeadLetterFilter"] }
  | { kind: "cancel_jobs"; filter: Schemas["JobsToCancel"] };

type OperationDialogProps = {
  wanted: Wanted;
  /** What the button says. */
  action: string;
  danger?: boolean;
  /** A word that has to be typed first, for what cannot be undone. */
  typed?: string;
  /** What happens to what is found. */
  consequence: string;
  onClose: () => void;
};

const DEFAULT_RATE_PER_S = 500;
const MAX_RATE_PER_S = 5000;

/** Counts what a filter finds, asks, starts the operation, and goes to where its progress is shown. */
export function OperationDialog({ wanted, action, danger, typed, consequence, onClose }: OperationDialogProps) {
  const api = useApi();
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const [ratePerS, setRatePerS] = useDraft("rate of the operation", String(DEFAULT_RATE_PER_S));
  const saved = useUnsaved(ratePerS !== String(DEFAULT_RATE_PER_S));
  const count = useQuery({
    queryKey: ["dry-run", wanted],
    queryFn: async ({ signal }) => {
      const body = { ...wanted, dry_run: true, rate_per_s: DEFAULT_RATE_PER_S } as Schemas["OperationRequest"];
      return (await bodyOf(api.POST("/v1/operations", { body, signal }))).total;
    },
    gcTime: 0,
  });
  const start = async () => {
    const body = { ...wanted, dry_run: false, rate_per_s: Number(ratePerS) } as Schemas["OperationRequest"];
    const started = await bodyOf(api.POST("/v1/operations", { body }));
    saved();
    await queries.invalidateQueries({ queryKey: ["operations"] });
    if ("id" in started) {
      navigate(links.operation(started.id));
    }
  };
  return (
    <ConfirmDialog
      title={`${wordsOfKind(wanted.kind).name}: all that match`}
      action={action}
      danger={danger}
      typed={typed}
      blocked={count.data === undefined || count.data.estimate === 0}
      onConfirm={start}
      onClose={onClose}
    >
      <p>
        Filter: <FilterText filter={wanted.filter} none="none, which finds all" />
      </p>
      <ErrorNotice error={count.error} doing="count what the filter finds" />
      <p role="status">{count.data ? countInWords(wanted.kind, count.data) : count.error ? "" : "Counting…"}</p>
      <p>{consequence}</p>
      <RateInput value={ratePerS} onChange={setRatePerS} />
    </ConfirmDialog>
  );
}

function RateInput({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const id = useId();
  return (
    <p className={styles.rate}>
      <label htmlFor={id}>At most so many a second:</label>
      <input
        id={id}
        type="number"
        required
        min={1}
        max={MAX_RATE_PER_S}
        step={1}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
    </p>
  );
}

/** `17 jobs would be canceled.`, or what is known where not all could be looked at. */
export function countInWords(kind: OperationKind, { at_least, estimate, is_exact }: Total): string {
  const { one, done } = wordsOfKind(kind);
  if (is_exact) {
    return at_least === 0
      ? `No ${one} matches, so nothing would be ${done}.`
      : `${counted(at_least, one)} would be ${done}.`;
  }
  return `At least ${counted(at_least, one)} would be ${done}; all of them may be about ${formatCount(estimate)}.`;
}
