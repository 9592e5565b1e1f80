import { useQuery } from "@tanstack/react-query";
import { bodyOf, type Schemas } from "../../api/client";
import { writeJson } from "../../api/json";
import { ApiProblem } from "../../api/problem";
import { Empty, ErrorNotice, Notice } from "../../parts/Notice";
import { formatCount } from "../../parts/numbers";
import { type Column, Table } from "../../parts/Table";
import { useApi } from "../../session/SessionProvider";
import styles from "./PreviewPanel.module.css";
import { editableFields, type Fields } from "./rule";

type Preview = Schemas["Preview"];
type Caller = Schemas["AffectedCaller"];
type Outcome = keyof Preview["now"];

const OUTCOMES: readonly (readonly [Outcome, string])[] = [
  ["forwarded", "Forwarded at once"],
  ["deferred", "Deferred"],
  ["rejected", "Rejected"],
  ["blocked", "Blocked"],
  ["untouched", "Not touched by the rule"],
];

const CALLER_COLUMNS: readonly Column<Caller>[] = [
  { name: "descriptor", heading: "Caller", cell: (caller) => caller.descriptor },
  { name: "requests", heading: "Requests", numeric: true, cell: (caller) => formatCount(caller.requests) },
  { name: "now", heading: "Forwarded now", numeric: true, cell: (caller) => formatCount(caller.forwarded_now) },
  { name: "then", heading: "Forwarded then", numeric: true, cell: (caller) => formatCount(caller.forwarded_then) },
];

type PreviewPanelProps = {
  ruleId: string;
  fields: Fields;
  /** For a rule that is new: the rule on whose requests it is tried. */
  trafficOf?: string;
};

/** What a draft would have done to the requests of the last minutes. Nothing is written. */
export function PreviewPanel({ ruleId, fields, trafficOf }: PreviewPanelProps) {
  const api = useApi();
  const preview = useQuery({
    queryKey: ["preview", ruleId, trafficOf, writeJson(fields)],
    queryFn: ({ signal }) =>
      bodyOf(
        api.POST("/v1/rules/{rule_id}/preview", {
          params: { path: { rule_id: ruleId }, query: trafficOf === undefined ? {} : { traffic_of: trafficOf } },
          body: editableFields(fields) as never,
          bodySerializer: writeJson,
          signal,
        }),
      ),
    staleTime: 0,
    retry: false,
  });
  return (
    <>
      {preview.isPending && <p role="status">Replaying the requests of the last minutes…</p>}
      <PreviewError error={preview.error} />
      {preview.data && <Report preview={preview.data} />}
    </>
  );
}

function PreviewError({ error }: { error: Error | null }) {
  if (error instanceof ApiProblem && error.status === 409) {
    return (
      <Notice tone="quiet" title="There is nothing to preview.">
        {error.detail} The rule can be saved without.
      </Notice>
    );
  }
  return <ErrorNotice error={error} doing="preview the rule" />;
}

function Report({ preview }: { preview: Preview }) {
  const { now, then, most_affected, notes, sampled_callers, sampled_requests, share } = preview;
  const rows = OUTCOMES.filter(([one]) => now[one].requests + then[one].requests > 0);
  return (
    <div className={styles.report}>
      <p role="status">{preview.summary}</p>
      <table className={styles.outcomes}>
        <caption className={styles.caption}>Requests of the last {Math.round(preview.seconds)} s</caption>
        <thead>
          <tr>
            <th scope="col">Requests</th>
            <th scope="col">As it is</th>
            <th scope="col">As changed</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([outcome, name]) => (
            <tr key={outcome}>
              <th scope="row">{name}</th>
              <td>{estimated(now[outcome])}</td>
              <td>{estimated(then[outcome])}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className={styles.sample}>
        From {formatCount(sampled_requests)} requests of {formatCount(sampled_callers)} callers
        {share < 1 ? `, a sample of ${(share * 100).toPrecision(2)} % of all callers.` : ", which are all."}
      </p>
      {notes.map((note) => (
        <p key={note}>{note}</p>
      ))}
      <h3>Callers that change most</h3>
      <Table
        caption="Callers that change most"
        columns={CALLER_COLUMNS}
        rows={most_affected}
        keyOf={(caller) => caller.descriptor}
        empty={<Empty title="Nothing changes for any caller of the sample." />}
      />
    </div>
  );
}

function estimated({ requests, margin }: Schemas["Estimate"]): string {
  return margin > 0 ? `${formatCount(requests)} ± ${formatCount(margin)}` : formatCount(requests);
}
