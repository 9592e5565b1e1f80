import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { bodyOf } from "../../api/client";
import { useRefetchInterval } from "../../live/LiveProvider";
import { Badge } from "../../parts/Badge";
import { Empty, ErrorNotice } from "../../parts/Notice";
import { FilterText } from "../../parts/operations/FilterText";
import { Progress } from "../../parts/operations/Progress";
import { type Operation, STATE_TONES, wordsOfKind } from "../../parts/operations/words";
import { Page } from "../../parts/Page";
import { Pager } from "../../parts/Pager";
import { type Column, Table } from "../../parts/Table";
import { useApi } from "../../session/SessionProvider";
import { Moment } from "../../time/Moment";
import { useFilters } from "../../urls/filters";
import { links } from "../../urls/links";

const PAGE_SIZE = 25;

const COLUMNS: readonly Column<Operation>[] = [
  {
    name: "kind",
    heading: "What",
    cell: (operation) => <Link href={links.operation(operation.id)}>{wordsOfKind(operation.kind).name}</Link>,
  },
  { name: "filter", heading: "Of which", cell: (operation) => <FilterText filter={operation.filter} none="all" /> },
  {
    name: "state",
    heading: "State",
    cell: (operation) => <Badge tone={STATE_TONES[operation.state]}>{operation.state}</Badge>,
  },
  { name: "progress", heading: "Progress", cell: (operation) => <Progress operation={operation} /> },
  { name: "by", heading: "Started by", cell: (operation) => operation.started_by },
  { name: "at", heading: "Started", cell: (operation) => <Moment at={operation.created_at} /> },
];

/** Long work on all that a filter found, newest first. */
export function OperationsPage() {
  const [{ after = "" }, change] = useFilters();
  const api = useApi();
  const operations = useQuery({
    queryKey: ["operations", after],
    queryFn: ({ signal }) => {
      const query = { limit: PAGE_SIZE, ...(after && { after }) };
      return bodyOf(api.GET("/v1/operations", { params: { query }, signal }));
    },
    placeholderData: keepPreviousData,
    refetchInterval: useRefetchInterval(),
  });
  return (
    <Page title="Operations">
      <ErrorNotice error={operations.error} doing="list operations" />
      {operations.data && (
        <div>
          <Table
            caption="Operations, newest first"
            columns={COLUMNS}
            rows={operations.data.operations}
            keyOf={(operation) => operation.id}
            empty={<NoOperations />}
          />
          <Pager after={after} next={operations.data.next} onPage={(page) => change({ after: page })} />
        </div>
      )}
    </Page>
  );
}

function NoOperations() {
  return (
    <Empty title="There are no operations.">
      What replays, deletes or cancels all that a filter finds is listed here for 30 days. Begin one on the page{" "}
      <Link href={links.deadLetters()}>Dead letters</Link> or <Link href={links.jobs()}>Jobs</Link>.
    </Empty>
  );
}
