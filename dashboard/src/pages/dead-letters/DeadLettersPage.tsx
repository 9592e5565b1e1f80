import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { bodyOf } from "../../api/client";
import { filledPage } from "../../api/filledPage";
import { useRefetchInterval } from "../../live/LiveProvider";
import { Empty, ErrorNotice } from "../../parts/Notice";
import { Page } from "../../parts/Page";
import { Pager } from "../../parts/Pager";
import { Requires } from "../../parts/Requires";
import { useApi } from "../../session/SessionProvider";
import { type Filters, useFilters } from "../../urls/filters";
import { Count } from "./Count";
import type { Outcome } from "./checkedDeeds";
import { LetterFilters } from "./LetterFilters";
import { Letters } from "./Letters";
import { PAGE_SIZE, wantedLetters } from "./letterFilters";
import { MatchingActions } from "./MatchingActions";
import { OutcomeNotice } from "./OutcomeNotice";

/** Jobs that have failed and are kept, newest first: why they failed, and what can be done with one, many or all. */
export function DeadLettersPage() {
  const [filters, change] = useFilters();
  const [done, setDone] = useState<{ outcome: Outcome; deed: string } | null>(null);
  const letters = useLetters(filters);
  return (
    <Page
      title="Dead letters"
      actions={
        <Requires role="operator" to="replay and delete dead letters">
          <MatchingActions filter={wantedLetters(filters)} />
        </Requires>
      }
    >
      <Count />
      <LetterFilters filters={filters} onChange={(changes) => change({ ...changes, after: "" })} />
      <ErrorNotice error={letters.error} doing="list dead letters" />
      {done && <OutcomeNotice {...done} />}
      {letters.data && (
        <div>
          <Letters
            letters={letters.data.dead_letters}
            onDone={(outcome, deed) => setDone({ outcome, deed })}
            empty={<NothingFound more={letters.data.next !== null} filtered={isFiltered(filters)} />}
          />
          <Pager after={filters.after ?? ""} next={letters.data.next} onPage={(page) => change({ after: page })} />
        </div>
      )}
    </Page>
  );
}

function useLetters(filters: Filters) {
  const api = useApi();
  const interval = useRefetchInterval();
  const wanted = wantedLetters(filters);
  const { after = "" } = filters;
  return useQuery({
    queryKey: ["dead-letters", wanted, after],
    queryFn: ({ signal }) =>
      filledPage(
        (place) => {
          const query = { ...wanted, limit: PAGE_SIZE, after: place };
          return bodyOf(api.GET("/v1/dead-letters", { params: { query }, signal }));
        },
        (page) => page.dead_letters.length === 0,
        after,
      ),
    placeholderData: keepPreviousData,
    refetchInterval: interval,
  });
}

function isFiltered(filters: Filters): boolean {
  return Object.keys(wantedLetters(filters)).length > 0;
}

function NothingFound({ more, filtered }: { more: boolean; filtered: boolean }) {
  if (more) {
    return (
      <Empty title="Nothing found so far.">
        Not every dead letter has been looked at. The next page goes on searching.
      </Empty>
    );
  }
  return filtered ? (
    <Empty title="No dead letter matches.">Remove a filter to see more.</Empty>
  ) : (
    <Empty title="There are no dead letters.">No job has failed, or those that did were replayed or deleted.</Empty>
  );
}
