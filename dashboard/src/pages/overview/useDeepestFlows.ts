import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { bodyOf, type Schemas } from "../../api/client";
import { useRefetchInterval } from "../../live/LiveProvider";
import { useApi } from "../../session/SessionProvider";
import { type DrainSample, drainOf, withDrainSample } from "./drain";

const LOOKED_AT = 100;
const HISTORY_KEY = ["drained"];
const NONE: readonly DrainSample[] = [];

/** The deepest flows, and how they drained since this tab was opened, as far as this page was looked at. */
export function useDeepestFlows() {
  const api = useApi();
  const queries = useQueryClient();
  const flows = useQuery({
    queryKey: ["flows", "deepest"],
    queryFn: ({ signal }) => bodyOf(api.GET("/v1/flows", { params: { query: { limit: LOOKED_AT } }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: useRefetchInterval(),
  });
  const drained = useQuery({
    queryKey: HISTORY_KEY,
    queryFn: () => NONE,
    initialData: NONE,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: Number.POSITIVE_INFINITY,
  });
  const { data, dataUpdatedAt } = flows;
  useEffect(() => {
    if (data !== undefined && dataUpdatedAt > 0) {
      queries.setQueryData<readonly DrainSample[]>(HISTORY_KEY, (before = NONE) =>
        withDrainSample(before, drainOf(data.flows, dataUpdatedAt / 1000)),
      );
    }
  }, [data, dataUpdatedAt, queries]);
  const page: Schemas["FlowPage"] | undefined = data;
  return { page, error: flows.error, drained: drained.data };
}
