import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { bodyOf, type Schemas } from "../../api/client";
import { useRefetchInterval } from "../../live/LiveProvider";
import { ChoiceFilter, FilterBar, TextFilter } from "../../parts/FilterBar";
import { FlowTable } from "../../parts/flows/FlowTable";
import { Empty, ErrorNotice, Notice } from "../../parts/Notice";
import { counted } from "../../parts/numbers";
import { Page, Section } from "../../parts/Page";
import { Pager } from "../../parts/Pager";
import { useApi } from "../../session/SessionProvider";
import { formatMoment } from "../../time/format";
import { useTime } from "../../time/TimeZoneProvider";
import { type Filters, useFilters } from "../../urls/filters";
import { FlowSettings } from "./FlowSettings";

const PAGE_SIZE = 50;
const SORTS = [
  ["depth", "most jobs first"],
  ["age", "longest wait first"],
  ["rule", "by rule"],
] as const;
const STATES = [
  ["", "any"],
  ["held", "held"],
  ["paused", "paused"],
] as const;

/** The flows of all rules, with what can be done to them; and what operators have set for flows. */
export function FlowsPage() {
  const [filters, change] = useFilters();
  const { rule_id = "", descriptor = "", state = "", sort = "depth", after = "" } = filters;
  const flows = useFlows(filters);
  const summary = useSummary(flows.data);
  const filter = (name: string) => (value: string) => change({ [name]: value, after: "" });
  return (
    <Page title="Queues">
      <FilterBar label="Filter the flows">
        <TextFilter label="Rule" value={rule_id} onChange={filter("rule_id")} placeholder="id of a rule" />
        <TextFilter label="Caller" value={descriptor} onChange={filter("descriptor")} placeholder="user:alice" />
        <ChoiceFilter label="State" value={state} onChange={filter("state")} choices={STATES} />
        <ChoiceFilter label="Order" value={sort} onChange={filter("sort")} choices={SORTS} />
      </FilterBar>
      <ErrorNotice error={flows.error} doing="read the flows" />
      {flows.data && (
        <div>
          <Incomplete page={flows.data} />
          <FlowTable
            caption="Flows"
            flows={flows.data.flows}
            sort={sort}
            onSort={filter("sort")}
            empty={<NoFlows filters={filters} />}
          />
          <Pager after={after} next={flows.data.next} onPage={(page) => change({ after: page })} summary={summary} />
        </div>
      )}
      <Section title="Paused callers and rates of their own">
        <FlowSettings />
      </Section>
    </Page>
  );
}

function useFlows(filters: Filters) {
  const api = useApi();
  const { rule_id = "", descriptor = "", state = "", sort = "depth", after = "" } = filters;
  return useQuery({
    queryKey: ["flows", rule_id, descriptor, state, sort, after],
    queryFn: ({ signal }) => bodyOf(api.GET("/v1/flows", { params: { query: queryOfPage(filters) }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: useRefetchInterval(),
  });
}

type FlowPageBody = Schemas["FlowPage"];

function useSummary(page: FlowPageBody | undefined): string {
  const { zone } = useTime();
  return page ? `${counted(page.total, "flow")}, in order as of ${formatMoment(new Date(page.as_of), zone)}` : "";
}

function Incomplete({ page }: { page: FlowPageBody }) {
  if (page.complete) {
    return null;
  }
  return (
    <Notice tone="accent">Not all flows have been looked at yet, or there are too many to list: filter by rule.</Notice>
  );
}

function NoFlows({ filters }: { filters: Filters }) {
  const filtered = ["rule_id", "descriptor", "state"].some((name) => filters[name]);
  return filtered ? (
    <Empty title="No flow with jobs is like that.">Remove a filter to see more.</Empty>
  ) : (
    <Empty title="Nothing waits.">Flows appear here when requests are deferred.</Empty>
  );
}

function queryOfPage({ rule_id, descriptor, state, sort, after }: Filters) {
  return {
    limit: PAGE_SIZE,
    ...(rule_id && { rule_id }),
    ...(descriptor && { descriptor }),
    ...(state && { state: state as "held" | "paused" }),
    ...(sort && { sort: sort as Schemas["FlowOrder"] }),
    ...(after && { after }),
  };
}
