import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { bodyOf } from "../../api/client";
import { useRefetchInterval } from "../../live/LiveProvider";
import { useApi } from "../../session/SessionProvider";

const TOP = 5;

/** The deepest flows. */
export function useDeepestFlows() {
  const api = useApi();
  return useQuery({
    queryKey: ["flows", "deepest"],
    queryFn: ({ signal }) => bodyOf(api.GET("/v1/flows", { params: { query: { limit: TOP } }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: useRefetchInterval(),
  });
}
