import type { Schemas } from "../api/client";
import type { Status } from "./events";

/** What charts show of one status, at a moment in Unix seconds. */
export type Sample = Omit<Schemas["StatusSample"], "at"> & { atS: number };

/** How much is kept, in seconds, and how many samples, of which there is one a second. */
const HISTORY_S = 600;
export const HISTORY_LENGTH = 600;

/**
 * The history with one more sample, and without what is too old. Times rise: what has the same time, or a later one of
 * a process whose clock was ahead, makes room.
 */
export function withSample(history: readonly Sample[], { at, rates, backlog, drain }: Status): readonly Sample[] {
  const sample: Sample = {
    atS: secondsOf(at),
    decisions: rates.decisions,
    jobs: backlog?.jobs ?? null,
    oldest_age_seconds: backlog?.oldest_age_seconds ?? null,
    dead_letters: backlog?.dead_letters ?? null,
    permitted_per_second: drain?.permitted_per_second ?? null,
    actual_per_second: drain?.actual_per_second ?? null,
  };
  const last = history.at(-1);
  const earlier = last && last.atS >= sample.atS ? history.filter((one) => one.atS < sample.atS) : history;
  return latest([...earlier, sample]);
}

/** The history with what the admin process has gathered for others, such as before this tab was opened. */
export function withGathered(
  history: readonly Sample[],
  gathered: readonly Schemas["StatusSample"][],
): readonly Sample[] {
  const samples = [...gathered.map(({ at, ...shown }) => ({ atS: secondsOf(at), ...shown })), ...history];
  const byTime = new Map(samples.map((sample) => [sample.atS, sample]));
  return latest([...byTime.values()].sort((one, other) => one.atS - other.atS));
}

function latest(samples: readonly Sample[]): readonly Sample[] {
  const last = samples.at(-1);
  const first = samples.findIndex((sample) => last && sample.atS > last.atS - HISTORY_S);
  return samples.slice(Math.max(first, samples.length - HISTORY_LENGTH, 0));
}

function secondsOf(at: string): number {
  return Date.parse(at) / 1000;
}
