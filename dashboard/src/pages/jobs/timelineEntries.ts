import type { Schemas } from "../../api/client";
import type { Tone } from "../../parts/Badge";
import { failureOf } from "../../parts/jobs/failureCodes";
import { formatDuration } from "../../time/format";

type JobEvent = Schemas["TimelineEvent"];

/** One line of a job's life. `gapS`: how long after the line before it. */
export type Entry = {
  key: string;
  tone: Tone;
  title: string;
  /** What more there is to say of it. */
  details: string[];
  at: string | null;
  gapS: number | null;
};

/** The life of a job in words, the oldest event first. */
export function timelineEntries(timeline: readonly JobEvent[]): Entry[] {
  return timeline.map((event, at) => ({
    key: `${event.event}-${event.number ?? at}`,
    ...wordsOf(event),
    at: event.at,
    gapS: gapInSeconds(timeline[at - 1], event),
  }));
}

function wordsOf(event: JobEvent): Pick<Entry, "tone" | "title" | "details"> {
  switch (event.event) {
    case "accepted":
      return { tone: "accent", title: "Accepted", details: [] };
    case "succeeded":
      return { tone: "good", title: "Succeeded", details: [] };
    case "canceled":
      return { tone: "quiet", title: "Canceled", details: [] };
    case "replayed":
      return { tone: "accent", title: "Replayed, with as many attempts as a new job", details: [] };
    case "failed":
      return { tone: "bad", title: `Failed: ${failureOf(event.error_code ?? "").words}`, details: codeOf(event) };
    case "attempt":
      return attemptInWords(event);
  }
}

function attemptInWords(event: JobEvent): Pick<Entry, "tone" | "title" | "details"> {
  const name = `Attempt ${event.number ?? ""}`.trim();
  const worker = event.worker ? [`worker ${event.worker}`] : [];
  if (event.ended_at === null || event.ended_at === undefined) {
    return { tone: "accent", title: `${name} is in flight`, details: worker };
  }
  const answered = event.response_status !== null && event.response_status !== undefined;
  const took = durationInWords(event.duration_ms);
  return {
    tone: event.error_code ? "warn" : "good",
    title: answered
      ? `${name}: the app server answered ${event.response_status}${took && ` after ${took}`}`
      : `${name} brought no answer${took && ` in ${took}`}`,
    details: [...failureInWords(event), ...worker],
  };
}

/** Why an attempt failed. The last one has the code of the job, which stands in the line below. */
function failureInWords({ error_code: code }: JobEvent): string[] {
  return code && code !== "attempts_exhausted" ? [...new Set([failureOf(code).words, code])] : [];
}

function codeOf({ error_code: code }: JobEvent): string[] {
  return code ? [code] : [];
}

function durationInWords(durationMs: number | null | undefined): string {
  if (durationMs === null || durationMs === undefined) {
    return "";
  }
  return durationMs === 0 ? "less than 1 ms" : formatDuration(durationMs / 1000);
}

function gapInSeconds(before: JobEvent | undefined, event: JobEvent): number | null {
  const from = before?.ended_at ?? before?.at;
  if (!from || !event.at) {
    return null;
  }
  return Math.max(0, (Date.parse(event.at) - Date.parse(from)) / 1000);
}
