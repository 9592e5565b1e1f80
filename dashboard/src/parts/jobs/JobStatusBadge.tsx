import type { Schemas } from "../../api/client";
import { Badge, type Tone } from "../Badge";

export type JobStatus = Schemas["JobStatus"];

const TONES: Record<JobStatus, Tone> = {
  queued: "accent",
  running: "accent",
  retrying: "warn",
  succeeded: "good",
  failed: "bad",
  canceled: "quiet",
};

/** The status of a job, as the API names it. */
export function JobStatusBadge({ status }: { status: JobStatus }) {
  return <Badge tone={TONES[status]}>{status}</Badge>;
}
