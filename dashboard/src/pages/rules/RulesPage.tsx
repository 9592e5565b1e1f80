import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { bodyOf } from "../../api/client";
import { useRefetchInterval } from "../../live/LiveProvider";
import { ButtonLink } from "../../parts/ButtonLink";
import { ChoiceFilter, FilterBar, TextFilter } from "../../parts/FilterBar";
import { Empty, ErrorNotice } from "../../parts/Notice";
import { Page } from "../../parts/Page";
import { Pager } from "../../parts/Pager";
import { Requires } from "../../parts/Requires";
import { Table } from "../../parts/Table";
import { useApi } from "../../session/SessionProvider";
import { type Filters, useFilters } from "../../urls/filters";
import { links } from "../../urls/links";
import { gathered } from "./gathered";
import { InvalidDocuments } from "./InvalidDocuments";
import { RULE_COLUMNS } from "./ruleColumns";

const PAGE_SIZE = 100;

/** Rules change seldom, and a page of them is not for free. A search is not asked again by itself. */
const SHORTEST_INTERVAL_MS = 10_000;
const KEY_TYPES: readonly (readonly [string, string])[] = [
  ["", "Any"],
  ["user", "user"],
  ["ip", "ip"],
  ["default", "default"],
];

const STATES = [
  ["", "Any"],
  ["true", "paused"],
  ["false", "not paused"],
] as const;

/** All rules, and the documents among them that are not valid rules. */
export function RulesPage() {
  const [filters, change] = useFilters();
  const { search = "", key_type = "", key_value = "", paused = "", sort = "id", after = "" } = filters;
  const api = useApi();
  const interval = useRefetchInterval();
  const rules = useQuery({
    queryKey: ["rules", search, key_type, key_value, paused, sort, after],
    queryFn: ({ signal }) => {
      const ask = (behind: string, limit: number) =>
        bodyOf(api.GET("/v1/rules", { params: { query: queryOfPage(filters, behind, limit) }, signal }));
      return gathered(ask, after, PAGE_SIZE);
    },
    placeholderData: keepPreviousData,
    refetchInterval: interval === false || search !== "" ? false : Math.max(interval, SHORTEST_INTERVAL_MS),
  });
  const filter = (name: string) => (value: string) => change({ [name]: value, after: "" });
  const isFiltered = `${search}${key_type}${key_value}${paused}` !== "";
  return (
    <Page title="Rules" actions={<NewRule />}>
      <FilterBar label="Filter the rules">
        <TextFilter label="Search" value={search} onChange={filter("search")} placeholder="id, key, path or who" />
        <ChoiceFilter
          label="Counts by"
          value={key_type}
          onChange={filter("key_type")}
          choices={KEY_TYPES.some(([one]) => one === key_type) ? KEY_TYPES : [...KEY_TYPES, [key_type, key_type]]}
        />
        <ChoiceFilter label="State" value={paused} onChange={filter("paused")} choices={STATES} />
        <TextFilter label="Key" value={key_value} onChange={filter("key_value")} placeholder="exact: bob, *" />
        <span role="status">{rules.isPending || rules.isPlaceholderData ? "Looking through the rules…" : ""}</span>
      </FilterBar>
      <ErrorNotice error={rules.error} doing="read the rules" />
      {rules.data && (
        <>
          <InvalidDocuments documents={rules.data.invalid} />
          <div>
            <Table
              caption="Rules"
              columns={RULE_COLUMNS}
              rows={rules.data.rules}
              keyOf={(rule) => rule.rule_id}
              sort={sort}
              onSort={filter("sort")}
              empty={isFiltered || after !== "" ? <NoneFound more={rules.data.next !== null} /> : <NoRules />}
            />
            <Pager after={after} next={rules.data.next} onPage={(page) => change({ after: page })} />
          </div>
        </>
      )}
    </Page>
  );
}

function NewRule() {
  return (
    <Requires role="admin" to="write rules">
      <ButtonLink href={links.newRule()} kind="primary">
        New rule
      </ButtonLink>
    </Requires>
  );
}

function NoneFound({ more }: { more: boolean }) {
  if (more) {
    return <Empty title="Nothing found so far.">Not every rule was looked at. The next page goes on searching.</Empty>;
  }
  return <Empty title="No rule is like this.">Remove a filter to see more.</Empty>;
}

function NoRules() {
  return (
    <Empty title="There are no rules yet.">
      Without a rule every request is forwarded, unless the setting PENSTOCK_NO_RULE says deny.
    </Empty>
  );
}

function queryOfPage({ search, key_type, key_value, paused, sort }: Filters, after: string, limit: number) {
  return {
    limit,
    ...(search && { search }),
    ...(key_type && { key_type }),
    ...(key_value && { key_value }),
    ...((paused === "true" || paused === "false") && { paused: paused === "true" }),
    ...(sort && { sort: sort as Order }),
    ...(after && { after }),
  };
}

type Order = "id" | "-id" | "priority" | "-priority" | "updated_at" | "-updated_at";
