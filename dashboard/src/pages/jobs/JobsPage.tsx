import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { bodyOf } from "../../api/client";
import { filledPage } from "../../api/filledPage";
import { useRefetchInterval } from "../../live/LiveProvider";
import { Empty, ErrorNotice } from "../../parts/Notice";
import { Page } from "../../parts/Page";
import { Pager } from "../../parts/Pager";
import { Requires } from "../../parts/Requires";
import { Table } from "../../parts/Table";
import { useApi } from "../../session/SessionProvider";
import { type Filters, useFilters } from "../../urls/filters";
import { CancelMany } from "./CancelMany";
import { COLUMNS } from "./columns";
import { FindById } from "./FindById";
import { JobFilters } from "./JobFilters";
import { cancellationOf, queryOfJobs } from "./jobFilters";

/** Searches jobs: those that have not ended, the latest accepted first, then the recent outcomes. */
export function JobsPage() {
  const [filters, change] = useFilters();
  const { after = "" } = filters;
  const jobs = useJobs(filters);
  const found = jobs.data?.jobs ?? [];
  return (
    <Page title="Jobs">
      <FindById />
      <JobFilters filters={filters} onChange={(changes) => change({ ...changes, after: "" })} />
      <Requires role="operator" to="cancel jobs">
        <CancelMany cancellation={cancellationOf(filters, found[0]?.owner)} />
      </Requires>
      <ErrorNotice error={jobs.error} doing="search jobs" />
      {jobs.data && (
        <div>
          <Table
            caption="Jobs: first those that have not ended, then the recent outcomes"
            columns={COLUMNS}
            rows={found}
            keyOf={(job) => job.id}
            empty={<NothingFound more={jobs.data.next !== null} />}
          />
          <Pager after={after} next={jobs.data.next} onPage={(page) => change({ after: page })} />
        </div>
      )}
    </Page>
  );
}

function useJobs(filters: Filters) {
  const api = useApi();
  const interval = useRefetchInterval();
  const query = queryOfJobs(filters);
  const { after = "" } = filters;
  return useQuery({
    queryKey: ["jobs", query, after],
    queryFn: ({ signal }) =>
      filledPage(
        (place) =>
          bodyOf(api.GET("/v1/jobs", { params: { query: { ...query, ...(place && { after: place }) } }, signal })),
        (page) => page.jobs.length === 0,
        after,
      ),
    placeholderData: keepPreviousData,
    refetchInterval: interval,
  });
}

function NothingFound({ more }: { more: boolean }) {
  return more ? (
    <Empty title="Nothing found so far.">Not every job has been looked at. The next page goes on searching.</Empty>
  ) : (
    <Empty title="No job matches.">
      Jobs that have ended are found for an hour, and those that failed for as long as they are dead letters. Remove a
      filter to see more.
    </Empty>
  );
}
