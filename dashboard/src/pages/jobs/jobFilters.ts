import type { Schemas } from "../../api/client";
import type { paths } from "../../api/schema";
import type { JobStatus } from "../../parts/jobs/JobStatusBadge";
import type { Filters } from "../../urls/filters";

export type JobQuery = NonNullable<paths["/v1/jobs"]["get"]["parameters"]["query"]>;

export const PAGE_SIZE = 50;

/** Choices of the filter by status; `waiting` and `open` stand for several. */
export const STATUS_CHOICES: readonly (readonly [string, string])[] = [
  ["", "any"],
  ["waiting", "waiting (queued or retrying)"],
  ["open", "not ended"],
  ["queued", "queued"],
  ["running", "running"],
  ["retrying", "retrying"],
  ["succeeded", "succeeded"],
  ["failed", "failed"],
  ["canceled", "canceled"],
];

const GROUPS: Readonly<Record<string, JobStatus[]>> = {
  waiting: ["queued", "retrying"],
  open: ["queued", "running", "retrying"],
};

/** The filters that the API takes as they stand in the address, under the same names. */
const TEXTS = [
  "rule_id",
  "descriptor",
  "flow",
  "owner",
  "submitted_after",
  "submitted_before",
  "finished_after",
  "finished_before",
] as const;

/** What the API is asked for with the filters of an address. */
export function queryOfJobs(filters: Filters): JobQuery {
  const texts = Object.fromEntries(TEXTS.filter((name) => filters[name]).map((name) => [name, filters[name]]));
  const { status = "", subject = "", owner = "", response_status = "" } = filters;
  return {
    ...texts,
    limit: PAGE_SIZE,
    ...(status && { status: GROUPS[status] ?? [status as JobStatus] }),
    ...(subject && !owner && { subject }),
    ...(response_status && { response_status: Number(response_status) }),
  };
}

/** What is canceled with all that match: a filter of an operation, or why there is none that finds the same. */
export type Cancellation = { filter: Schemas["JobsToCancel"] } | { why: string };

/**
 * What an operation that cancels jobs has to be about, so that it finds the jobs of this view that wait to be sent.
 * `owner` is that of the jobs found, which stands for a subject.
 */
export function cancellationOf(filters: Filters, owner: string | null | undefined): Cancellation {
  const { status = "", response_status, finished_after, finished_before, subject } = filters;
  if (response_status || finished_after || finished_before) {
    return { why: "To cancel many jobs at once, remove the filters that only jobs which have ended can match." };
  }
  if (!["", "waiting", "open"].includes(status)) {
    return {
      why: "To cancel many jobs at once, set the status to any or to waiting: those that are queued and those that retry are canceled.",
    };
  }
  const { rule_id, descriptor, flow, submitted_after, submitted_before } = filters;
  const ofOwner = filters.owner || (subject ? owner : "");
  if (!(rule_id || descriptor || flow || ofOwner)) {
    return { why: "To cancel many jobs at once, filter by rule, caller, owner or flow first." };
  }
  return {
    filter: {
      ...(rule_id && { rule_id }),
      ...(descriptor && { descriptor }),
      ...(flow && { flow }),
      ...(ofOwner && { owner: ofOwner }),
      ...(submitted_after && { submitted_after }),
      ...(submitted_before && { submitted_before }),
    } as Schemas["JobsToCancel"],
  };
}

/** The id of a job in what somebody pasted, such as the address that a client was given; else the text itself. */
export function jobIdIn(text: string): string {
  return text.match(/(?:^|[^0-9A-Za-z_-])([0-9a-f]{1,3}-[A-Za-z0-9_-]{22})(?![A-Za-z0-9_-])/)?.[1] ?? text.trim();
}
