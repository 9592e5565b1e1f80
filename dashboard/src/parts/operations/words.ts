import type { Schemas } from "../../api/client";
import { links } from "../../urls/links";
import type { Tone } from "../Badge";

export type Operation = Schemas["OperationDocument"];
export type OperationKind = Operation["kind"];
export type Total = Schemas["OperationTotal"];

type KindWords = {
  /** The deed as a heading. */
  name: string;
  /** What is counted. */
  one: string;
  /** What has been done to those that it counts. */
  done: string;
};

const KINDS: Record<OperationKind, KindWords> = {
  replay_dead_letters: { name: "Replay dead letters", one: "dead letter", done: "replayed" },
  delete_dead_letters: { name: "Delete dead letters", one: "dead letter", done: "deleted" },
  cancel_jobs: { name: "Cancel jobs", one: "job", done: "canceled" },
  purge_jobs: { name: "Purge jobs of a rule", one: "job", done: "canceled" },
};

export function wordsOfKind(kind: OperationKind): KindWords {
  return KINDS[kind];
}

export const STATE_TONES: Record<Operation["state"], Tone> = {
  pending: "accent",
  running: "accent",
  canceling: "warn",
  completed: "good",
  canceled: "quiet",
  failed: "bad",
};

/** Whether nothing more is done. */
export function hasEnded({ state }: Pick<Operation, "state">): boolean {
  return state === "completed" || state === "canceled" || state === "failed";
}

const FIELDS: Readonly<Record<string, string>> = {
  rule_id: "rule",
  descriptor: "caller",
  flow: "flow",
  owner: "owner",
  code: "code",
  response_status: "app server's status",
  failed_after: "failed after",
  failed_before: "failed before",
  submitted_after: "accepted after",
  submitted_before: "accepted before",
};

/** What a filter names, with names for people. A flow is named by what it is charged for, and not by its id. */
export function namedByFilter(filter: Operation["filter"]): { field: string; name: string; value: string }[] {
  return Object.entries(filter).map(([field, value]) => ({
    field,
    name: FIELDS[field] ?? field,
    value: field === "flow" ? flowNameOf(String(value)) : String(value),
  }));
}

/** The page that lists what an operation is about. */
export function listOf({ kind, filter }: Pick<Operation, "kind" | "filter">): string {
  const filters = Object.fromEntries(Object.entries(filter).map(([name, value]) => [name, String(value)]));
  return kind === "replay_dead_letters" || kind === "delete_dead_letters"
    ? links.deadLetters(filters)
    : links.jobs(filters);
}

/** The name of a flow, which its id carries in base64url; the id itself where it does not. */
export function flowNameOf(flowId: string): string {
  try {
    const bytes = Uint8Array.from(atob(flowId.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return flowId;
  }
}

/** How long an operation still needs if it goes on as it did, in seconds; null where that cannot be told. */
export function secondsLeft({ progress, started_at }: Operation, nowMs: number): number | null {
  const elapsedS = started_at === null ? 0 : (nowMs - Date.parse(started_at)) / 1000;
  return progress <= 0 || progress >= 1 || elapsedS < 1 ? null : (elapsedS * (1 - progress)) / progress;
}
