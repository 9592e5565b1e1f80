import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useRefetchInterval } from "../../live/LiveProvider";
import { FilterBar, TextFilter } from "../../parts/FilterBar";
import { Empty, ErrorNotice } from "../../parts/Notice";
import { Page } from "../../parts/Page";
import { Pager } from "../../parts/Pager";
import { Table } from "../../parts/Table";
import { TimeFilter } from "../../parts/TimeFilter";
import { useApi } from "../../session/SessionProvider";
import { useFilters } from "../../urls/filters";
import { COLUMNS } from "./columns";
import { readAudit } from "./readAudit";

const FILTERS = ["actor", "action", "target", "since", "until"] as const;

/** Who changed what, newest first, with what it was before and what it is after. */
export function AuditPage() {
  const [filters, change] = useFilters();
  const { actor = "", action = "", target = "", since = "", until = "", after = "" } = filters;
  const api = useApi();
  const refetchInterval = useRefetchInterval();
  const entries = useQuery({
    queryKey: ["audit", actor, action, target, since, until, after],
    queryFn: ({ signal }) => readAudit(api, { actor, action, target, since, until, after }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: after === "" ? refetchInterval : false, // pages behind the first do not change
  });
  const filter = (name: (typeof FILTERS)[number]) => (value: string) => change({ [name]: value, after: "" });
  const filtered = FILTERS.some((name) => filters[name]);
  return (
    <Page title="Audit">
      <FilterBar label="Filter the audit">
        <TextFilter label="Who" value={actor} onChange={filter("actor")} placeholder="sub of the token" />
        <TextFilter label="Action" value={action} onChange={filter("action")} placeholder="rule, flow.paused" />
        <TextFilter label="What" value={target} onChange={filter("target")} placeholder="a rule, flow or job" />
        <TimeFilter label="From" value={since} onChange={filter("since")} />
        <TimeFilter label="Until" value={until} onChange={filter("until")} />
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
              filtered ? (
                <Empty title="No change is like this.">
                  Names are compared as a whole. Remove a filter to see more; entries are kept for a year.
                </Empty>
              ) : (
                <Empty title="Nothing was changed yet.">Every change by an operator will stand here.</Empty>
              )
            }
          />
          <Pager after={after} next={entries.data.next} onPage={(page) => change({ after: page })} />
        </div>
      )}
    </Page>
  );
}
