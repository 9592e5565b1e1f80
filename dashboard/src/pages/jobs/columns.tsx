import { Link } from "wouter";
import type { Schemas } from "../../api/client";
import { failureOf } from "../../parts/jobs/failureCodes";
import { JobStatusBadge } from "../../parts/jobs/JobStatusBadge";
import { formatCount } from "../../parts/numbers";
import type { Column } from "../../parts/Table";
import { formatDuration } from "../../time/format";
import { Moment } from "../../time/Moment";
import { links } from "../../urls/links";
import styles from "./jobs.module.css";

type Job = Schemas["JobSummary"];

export const COLUMNS: readonly Column<Job>[] = [
  {
    name: "id",
    heading: "Job",
    unbroken: true,
    cell: (job) => (
      <Link href={links.job(job.id)} className={styles.id}>
        {job.id}
      </Link>
    ),
  },
  { name: "status", heading: "Status", cell: (job) => <JobStatusBadge status={job.status} /> },
  { name: "how", heading: "How it goes", cell: (job) => <HowItGoes job={job} /> },
  { name: "rule", heading: "Rule", cell: (job) => <Link href={links.rule(job.rule_id)}>{job.rule_id}</Link> },
  { name: "caller", heading: "Caller", cell: (job) => job.descriptor },
  { name: "submitted", heading: "Accepted", cell: (job) => <Moment at={job.submitted_at} /> },
  { name: "finished", heading: "Ended", cell: (job) => <Moment at={job.finished_at} only="relative" /> },
  { name: "attempts", heading: "Attempts", numeric: true, cell: (job) => formatCount(job.attempts) },
];

/** What has become of a job, or what it waits for, in a few words. */
function HowItGoes({ job }: { job: Job }) {
  if (job.error !== null) {
    return (
      <>
        {job.error.message || failureOf(job.error.code).words} <code>{job.error.code}</code>
      </>
    );
  }
  if (job.response_status !== null) {
    return <>app server: {job.response_status}</>;
  }
  return <span className={styles.quiet}>{waitInWords(job)}</span>;
}

/** Where a job stands in its flow, and when it is likely to be sent. */
export function waitInWords({ status, position, eta_seconds: etaS }: Job): string {
  const eta = etaS === null ? "" : `in about ${formatDuration(etaS)}`;
  if (status === "queued") {
    return [
      position === null ? "" : position === 1 ? "next of its flow" : `number ${formatCount(position)} of its flow`,
      eta,
    ]
      .filter((one) => one !== "")
      .join(", ");
  }
  return status === "retrying" && eta !== "" ? `again ${eta}` : "";
}
