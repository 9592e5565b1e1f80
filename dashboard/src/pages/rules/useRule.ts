import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import { useRefetchInterval } from "../../live/LiveProvider";
import { useApi } from "../../session/SessionProvider";
import { readRule } from "./rule";

/** A rule with its ETag, asked again as often as the viewer wants. */
export function useRule(ruleId: string) {
  const api = useApi();
  const refetchInterval = useRefetchInterval();
  return useQuery({
    queryKey: ["rule", ruleId],
    queryFn: ({ signal }) => readRule(api, ruleId, signal),
    placeholderData: keepPreviousData,
    refetchInterval,
  });
}

/** A function that has everything that shows rules asked again: what the server says counts, not what was sent. */
export function useRulesChanged(): () => Promise<unknown> {
  const queries = useQueryClient();
  return useCallback(
    () =>
      Promise.all(
        ["rule", "rules", "history", "flow-settings"].map((one) => queries.invalidateQueries({ queryKey: [one] })),
      ),
    [queries],
  );
}
