import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { bodyOf, type Schemas } from "../../api/client";
import { useRefetchInterval } from "../../live/LiveProvider";
import { useApi, useMay } from "../../session/SessionProvider";

type Job = Schemas["JobDocument"];
export type Contents = Schemas["JobContentsDocument"];

/** A job as it is now, without its contents, which may be large. */
export function useJob(jobId: string) {
  const api = useApi();
  const interval = useRefetchInterval();
  return useQuery({
    queryKey: ["job", jobId],
    queryFn: async ({ signal }) => {
      const params = { path: { job_id: jobId }, query: { contents: false } };
      return (await bodyOf(api.GET("/v1/jobs/{job_id}", { params, signal }))) as Job;
    },
    // One that has failed goes on where somebody replays it.
    refetchInterval: ({ state: { data } }) => (data && hasEnded(data) && data.status !== "failed" ? false : interval),
  });
}

/** What a job was sent and what came back, asked for again only when it has gone on; null where there is no job. */
export function useContents({ id, status, attempts, finished_at }: Job) {
  const api = useApi();
  return useQuery({
    queryKey: ["job-contents", id, status, attempts, finished_at],
    queryFn: async ({ signal }) => {
      const params = { path: { job_id: id } };
      return (await bodyOf(api.GET("/v1/jobs/{job_id}", { params, signal }))).contents as Contents | null;
    },
    enabled: useMay("operator"),
    placeholderData: keepPreviousData,
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** Whether a job goes on only if an operator replays it. */
export function hasEnded({ status }: Pick<Job, "status">): boolean {
  return status === "succeeded" || status === "failed" || status === "canceled";
}
