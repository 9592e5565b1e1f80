import { Link } from "wouter";
import type { Schemas } from "../../api/client";
import { JobStatusBadge } from "../../parts/jobs/JobStatusBadge";
import { counted, formatCount } from "../../parts/numbers";
import { Facts } from "../../parts/Page";
import { Moment } from "../../time/Moment";
import type { Filters } from "../../urls/filters";
import { links } from "../../urls/links";
import { explainedBy } from "./explained";
import styles from "./jobs.module.css";
import type { Contents } from "./useJob";

type Job = Schemas["JobDocument"];

/** What is known of a job, with links to its rule, its flow, its caller's other jobs and an explanation. */
export function JobFacts({ job, request }: { job: Job; request: Contents["request"] }) {
  return (
    <Facts
      facts={[
        ["Status", <JobStatusBadge key="status" status={job.status} />],
        ["App server's last status", job.response_status ?? "–"],
        ["Attempts that counted", formatCount(job.attempts)],
        [
          "Rule",
          <Link key="rule" href={links.rule(job.rule_id)}>
            {job.rule_id}
          </Link>,
        ],
        ["Caller", <Caller key="caller" descriptor={job.descriptor} caller={request?.caller} />],
        ["Flow", <Flow key="flow" job={job} />],
        ["Accepted", <Moment key="accepted" at={job.submitted_at} />],
        ...(job.finished_at ? [["Ended", <Moment key="ended" at={job.finished_at} />] as const] : []),
        ...(job.expires_at ? [["Kept until", <Moment key="kept" at={job.expires_at} />] as const] : []),
        ["More", <More key="more" job={job} request={request} />],
      ]}
    />
  );
}

type CallerProps = { descriptor: string; caller: Schemas["StoredCaller"] | null | undefined };

function Caller({ descriptor, caller }: CallerProps) {
  return (
    <>
      {descriptor}
      {caller && (
        <div className={styles.quiet}>
          {caller.subject}, issuer {caller.issuer}
        </div>
      )}
    </>
  );
}

function Flow({ job }: { job: Job }) {
  const state = job.flow_state;
  if (state === null) {
    return job.flow;
  }
  return (
    <>
      <Link href={links.flow(job.flow_id)}>{job.flow}</Link>
      <div className={styles.quiet}>
        {counted(state.depth, "job")} not ended{state.paused && ", paused"}
      </div>
    </>
  );
}

function More({ job, request }: { job: Job; request: Contents["request"] }) {
  const ofCaller: Filters = job.owner ? { owner: job.owner } : { descriptor: job.descriptor };
  return (
    <span className={styles.more}>
      <Link href={links.jobs(ofCaller)}>Jobs of this caller</Link>
      <Link href={links.jobs({ flow: job.flow_id })}>Jobs of this flow</Link>
      <Link href={links.explain(explainedBy(job, request))}>Explain a request like this</Link>
      <Link href={links.audit({ target: job.id })}>Audit of this job</Link>
    </span>
  );
}
