import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { bodyOf, type Schemas } from "../../api/client";
import { FilterBar, TextFilter } from "../../parts/FilterBar";
import { Empty, ErrorNotice } from "../../parts/Notice";
import { Page } from "../../parts/Page";
import { Pager } from "../../parts/Pager";
import { type Column, Table } from "../../parts/Table";
import { useApi } from "../../session/SessionProvider";
import { Moment } from "../../time/Moment";
import { useFilters } from "../../urls/filters";
import { Changes } from "./Changes";

type Entry = Schemas["AuditedChange"];

const PAGE_SIZE = 50;
const FACES: Record<Entry["face"], string> = { rest: "REST", grpc: "gRPC", process: "by itself" };

const COLUMNS: readonly Column<Entry>[] = [
  { name: "at", heading: "At", cell: (entry) => <Moment at={entry.at} /> },
  { name: "actor", heading: "Who", cell: (entry) => entry.actor },
  { name: "face", heading: "By", cell: (entry) => FACES[entry.face] },
  { name: "action", heading: "Action", cell: (entry) => <code>{entry.action}</code> },
  { name: "target", heading: "What", cell: (entry) => entry.target },
  { name: "changes", heading: "Changes", cell: (entry) => <Changes before={entry.before} after={entry.after} /> },
];

/** Who changed what, newest first, with what it was before and what it is after. */
export function AuditPage() {
  const [filters, change] = useFilters();
  const { actor = "", action = "", target = "", after = "" } = filters;
  const api = useApi();
  const entries = useQuery({
    queryKey: ["audit", actor, action, target, after],
    queryFn: ({ signal }) => bodyOf(api.GET("/v1/audit", { params: { query: queryOfPage(filters) }, signal })),
    placeholderData: keepPreviousData,
  });
  const filter = (name: string) => (value: string) => change({ [name]: value, after: "" });
  return (
    <Page title="Audit">
      <FilterBar label="Filter the audit">
        <TextFilter label="Who" value={actor} onChange={filter("actor")} />
        <TextFilter label="Action" value={action} onChange={filter("action")} placeholder="rule, flow.paused" />
        <TextFilter label="What" value={target} onChange={filter("target")} placeholder="id of a rule, flow or job" />
      </FilterBar>
      <ErrorNotice error={entries.error} doing="read the audit" />
      {entries.data && (
        <div>
          <Table
            caption="Changes, newest first"
            columns={COLUMNS}
            rows={entries.data.entries}
            keyOf={(entry) => entry.id}
            empty={
              <Empty title="Nothing was changed.">Entries are kept for a year. Remove a filter to see more.</Empty>
            }
          />
          <Pager after={after} next={entries.data.next} onPage={(page) => change({ after: page })} />
        </div>
      )}
    </Page>
  );
}

function queryOfPage({ actor, action, target, after }: Readonly<Record<string, string>>) {
  return {
    limit: PAGE_SIZE,
    ...(actor && { actor }),
    ...(action && { action }),
    ...(target && { target }),
    ...(after && { after }),
  };
}
