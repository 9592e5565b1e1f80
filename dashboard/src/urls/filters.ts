import { useCallback, useMemo } from "react";
import { useLocation, useSearch } from "wouter";

/** What filters a view, kept in the query of its address, so that the view can be sent to a colleague. */
export type Filters = Readonly<Record<string, string>>;

/** The filters that the address holds, and a function that changes some of them. An empty value removes a filter. */
export function useFilters(): [Filters, (changes: Filters) => void] {
  const search = useSearch();
  const [path, navigate] = useLocation();
  const filters = useMemo(() => Object.fromEntries(new URLSearchParams(search)), [search]);
  const change = useCallback(
    (changes: Filters) => navigate(path + queryOf({ ...filters, ...changes }), { replace: true }),
    [filters, navigate, path],
  );
  return [filters, change];
}

/** The query of an address with its question mark, without the filters that are empty. */
export function queryOf(filters: Filters): string {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value !== "")).toString();
  return query === "" ? "" : `?${query}`;
}
