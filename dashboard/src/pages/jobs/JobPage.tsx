import { Link } from "wouter";
import type { Schemas } from "../../api/client";
import { ApiProblem } from "../../api/problem";
import { CopyButton } from "../../parts/CopyButton";
import { failureOf } from "../../parts/jobs/failureCodes";
import { Empty, ErrorNotice, Notice } from "../../parts/Notice";
import { Page, Section } from "../../parts/Page";
import { links } from "../../urls/links";
import { ContentsSections } from "./Contents";
import { JobActions } from "./JobActions";
import { JobFacts } from "./JobFacts";
import { Timeline } from "./Timeline";
import { hasEnded, useContents, useJob } from "./useJob";

type Job = Schemas["JobDocument"];

const NEEDS_ATTENTION: ReadonlySet<string> = new Set(["overdue", "paused", "held"]);

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

function JobShown({ job }: { job: Job }) {
  const contents = useContents(job);
  return (
    <>
      {job.error && (
        <Notice tone="bad" title={`Failed: ${failureOf(job.error.code).words}.`}>
          {job.error.message} {failureOf(job.error.code).remedy}
        </Notice>
      )}
      {job.wait && (
        <Notice tone={NEEDS_ATTENTION.has(job.wait.reason) ? "warn" : "accent"} title="Why it waits">
          {job.wait.detail}
        </Notice>
      )}
      <JobFacts job={job} request={contents.data?.request ?? null} />
      <Section title="Timeline">
        <Timeline job={job} />
      </Section>
      <ContentsSections contents={contents} hasEnded={hasEnded(job)} />
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
