import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Api } from "../../api/client";
import { parseJson } from "../../api/json";
import { ApiProblem } from "../../api/problem";
import { Badge } from "../../parts/Badge";
import { Button } from "../../parts/Button";
import { ButtonLink } from "../../parts/ButtonLink";
import { Empty, ErrorNotice } from "../../parts/Notice";
import { Page } from "../../parts/Page";
import { Requires } from "../../parts/Requires";
import { type Column, Table } from "../../parts/Table";
import { useApi, useMay } from "../../session/SessionProvider";
import { Moment } from "../../time/Moment";
import { useFilters } from "../../urls/filters";
import { links } from "../../urls/links";
import { Differences } from "./Differences";
import { RestoreVersion } from "./RestoreVersion";
import { type Rule, readRule, type StoredRule } from "./rule";

/** A version, the one before it, and what is stored today; null where there was no rule. */
export type Version = { at: string; rule: Rule | null; before: Rule | null };

const FIRST_COUNT = 100;
const MAX_COUNT = 1000;

/** The versions of a rule, newest first, with what each has changed. */
export function HistoryPage({ ruleId }: { ruleId: string }) {
  const [count, setCount] = useState(FIRST_COUNT);
  const [{ against = "" }, change] = useFilters();
  const api = useApi();
  const history = useQuery({
    queryKey: ["history", ruleId, count],
    queryFn: ({ signal }) => readHistory(api, ruleId, count, signal),
    placeholderData: keepPreviousData,
  });
  const versions = history.data?.versions ?? [];
  return (
    <Page
      title={`History of rule ${ruleId}`}
      actions={<ButtonLink href={links.rule(ruleId)}>The rule as it is</ButtonLink>}
    >
      <Requires role="admin" to="restore a version">
        {null}
      </Requires>
      <ErrorNotice error={history.error} doing="read the history" />
      {history.data && (
        <>
          <label>
            Compare each version with{" "}
            <select value={against} onChange={(event) => change({ against: event.target.value })}>
              <option value="">the one before</option>
              <option value="current">the rule as it is</option>
            </select>
          </label>
          <Versions ruleId={ruleId} versions={versions} current={history.data.current} against={against} />
          {versions.length >= count && count < MAX_COUNT && (
            <div>
              <Button onClick={() => setCount(MAX_COUNT)}>Show up to {MAX_COUNT} versions</Button>
            </div>
          )}
        </>
      )}
    </Page>
  );
}

type VersionsProps = {
  ruleId: string;
  versions: readonly Version[];
  current: StoredRule | null;
  against: string;
};

function Versions({ ruleId, versions, current, against }: VersionsProps) {
  const isAdmin = useMay("admin");
  const isCurrent = ({ rule }: Version) => rule !== null && rule.version === current?.rule.version;
  const columns: Column<Version>[] = [
    { name: "version", heading: "Version", cell: (one) => <VersionName version={one} isCurrent={isCurrent(one)} /> },
    { name: "at", heading: "In force since", cell: (one) => <Moment at={one.at} /> },
    { name: "by", heading: "By", cell: (one) => one.rule?.updated_by ?? "–" },
    {
      name: "differences",
      heading: against === "current" ? "What the rule as it is has changed since" : "What it has changed",
      cell: (one) =>
        against === "current" ? (
          <Differences from={one.rule} to={current?.rule ?? null} />
        ) : one.rule === null ? (
          "The rule was deleted."
        ) : (
          <Differences from={one.before} to={one.rule} />
        ),
    },
  ];
  const restore: Column<Version> = {
    name: "restore",
    heading: "Restore",
    cell: (one) =>
      one.rule !== null && !isCurrent(one) ? (
        <RestoreVersion ruleId={ruleId} version={one.rule} current={current} />
      ) : null,
  };
  return (
    <Table
      caption="Versions, newest first"
      columns={isAdmin ? [...columns, restore] : columns}
      rows={versions}
      keyOf={(one) => `${one.at} ${one.rule?.version ?? `deleted after ${one.before?.version}`}`}
      empty={<Empty title="The history has no version of this rule.">It is kept for a year.</Empty>}
    />
  );
}

function VersionName({ version: { rule }, isCurrent }: { version: Version; isCurrent: boolean }) {
  return (
    <>
      {rule === null ? <Badge tone="quiet">Deleted</Badge> : rule.version}{" "}
      {isCurrent && <Badge tone="good">As it is</Badge>}
    </>
  );
}

async function readHistory(api: Api, ruleId: string, limit: number, signal: AbortSignal) {
  const params = { path: { rule_id: ruleId }, query: { limit } };
  const { data } = await api.GET("/v1/rules/{rule_id}/history", { params, parseAs: "text", signal });
  const listed = (parseJson(data ?? "") as { versions: { at: string; rule: Rule | null }[] }).versions;
  const versions = listed.map((one, at): Version => ({ ...one, before: listed[at + 1]?.rule ?? null }));
  return { versions, current: await currentRule(api, ruleId, signal) };
}

/** The rule as it is; null where it was deleted, or where its document is not a valid rule. */
async function currentRule(api: Api, ruleId: string, signal: AbortSignal): Promise<StoredRule | null> {
  try {
    return await readRule(api, ruleId, signal);
  } catch (error) {
    if (error instanceof ApiProblem && (error.status === 404 || error.status === 409)) {
      return null;
    }
    throw error;
  }
}
