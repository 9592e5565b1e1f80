import { useCallback, useMemo } from "react";
import { useLocation, useSearch } from "wouter";
import { trailAfter, trailOf } from "./trail";

/** What filters a view, kept in the query of its address, so that the view can be sent to a colleague. */
export type Filters = Readonly<Record<string, string>>;

/**
 * The filters that the address holds, and a function that changes some of them. An empty value removes a filter.
 *
 * Another page of the list (`after` alone) is a new entry of the browser's history, so that its back button leads to the
 * page before. Other changes replace the entry.
 */
export function useFilters(): [Filters, (changes: Filters) => void] {
  const search = useSearch();
  const [path, navigate] = useLocation();
  const filters = useMemo(() => filtersOf(search), [search]);
  const change = useCallback(
    (changes: Filters) => {
      // The address itself is read, because an earlier change of the same tick has not been rendered yet.
      const present = filtersOf(location.search);
      const to = path + queryOf({ ...present, ...changes });
      if (Object.keys(changes).join() === "after") {
        const trail = trailAfter(trailOf(history.state), present.after ?? "", changes.after ?? "");
        navigate(to, { state: { trail } });
      } else {
        navigate(to, { replace: true, state: null });
      }
    },
    [navigate, path],
  );
  return [filters, change];
}

function filtersOf(search: string): Filters {
  return Object.fromEntries(new URLSearchParams(search));
}

/** The query of an address with its question mark, without the filters that are empty. */
export function queryOf(filters: Filters): string {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value !== "")).toString();
  return query === "" ? "" : `?${query}`;
}
