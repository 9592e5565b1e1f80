import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { bodyOf, type Schemas } from "../../api/client";
import { ApiProblem } from "../../api/problem";
import { useRefetchInterval } from "../../live/LiveProvider";
import { CopyButton } from "../../parts/CopyButton";
import { failureOf } from "../../parts/jobs/failureCodes";
import { Empty, ErrorNotice, Notice } from "../../parts/Notice";
import { Page, Section } from "../../parts/Page";
import { useApi } from "../../session/SessionProvider";
import { links } from "../../urls/links";
import { ContentsSections } from "./Contents";
import { JobActions } from "./JobActions";
import { JobFacts } from "./JobFacts";
import { Timeline } from "./Timeline";

type Job = Schemas["JobDocument"];

/** One job: what has become of it and why, each attempt, and for operators its request and the last answer. */
export function JobPage({ jobId }: { jobId: string }) {
  const job = useJob(jobId);
  const isUnknown = job.error instanceof ApiProblem && job.error.status === 404;
  return (
    <Page
      title={`Job ${jobId}`}
      actions={
        <>
          <CopyButton text={jobId} what="the id" />
          {job.data && !isUnknown && <JobActions job={job.data} />}
        </>
      }
    >
      {isUnknown ? <NoSuchJob /> : <ErrorNotice error={job.error} doing="read the job" />}
      {job.data && !isUnknown && <JobShown job={job.data} />}
    </Page>
  );
}

function useJob(jobId: string) {
  const api = useApi();
  const interval = useRefetchInterval();
  return useQuery({
    queryKey: ["job", jobId],
    // The client makes arrays of the pairs that headers are.
    queryFn: async ({ signal }) =>
      (await bodyOf(api.GET("/v1/jobs/{job_id}", { params: { path: { job_id: jobId } }, signal }))) as Job,
    // A job that has ended changes only if it is replayed or deleted, after which it is asked for again.
    refetchInterval: (query) => (query.state.data && hasEnded(query.state.data) ? false : interval),
  });
}

function JobShown({ job }: { job: Job }) {
  return (
    <>
      {job.error && (
        <Notice tone="bad" title={`Failed: ${failureOf(job.error.code).words}.`}>
          {job.error.message} {failureOf(job.error.code).remedy}
        </Notice>
      )}
      {job.wait && (
        <Notice
          tone={job.wait.reason === "overdue" || job.wait.reason === "paused" ? "warn" : "accent"}
          title="Why it waits"
        >
          {job.wait.detail}
        </Notice>
      )}
      <JobFacts job={job} />
      <Section title="Timeline">
        <Timeline job={job} />
      </Section>
      <ContentsSections contents={job.contents} hasEnded={hasEnded(job)} />
    </>
  );
}

function NoSuchJob() {
  return (
    <Empty title="There is no such job, or its record is no longer kept.">
      <p>
        Compare the id. What succeeded or was canceled is kept for the <code>result_ttl_seconds</code> of its rule.
      </p>
      <Link href={links.jobs()}>Search jobs</Link>
    </Empty>
  );
}

/** Whether only an operator can change the job any more. */
function hasEnded({ status }: Job): boolean {
  return status === "succeeded" || status === "failed" || status === "canceled";
}
