import type { Status } from "./events";

/** What charts show of one status. Rates are per second. */
export type Sample = {
  atS: number;
  decisions: Status["rates"]["decisions"];
  attempts: number;
  jobs: number | null;
  oldestAgeS: number | null;
  deadLetters: number | null;
};

/** How many samples are kept, one a second: ten minutes. */
export const HISTORY_LENGTH = 600;

/**
 * The history with one more sample, and the oldest dropped once it is full. Times rise: what has the same time, or a
 * later one of a process whose clock was ahead, makes room.
 */
export function withSample(history: readonly Sample[], status: Status): readonly Sample[] {
  const sample: Sample = {
    atS: Date.parse(status.at) / 1000,
    decisions: status.rates.decisions,
    attempts: status.rates.attempts,
    jobs: status.backlog?.jobs ?? null,
    oldestAgeS: status.backlog?.oldest_age_seconds ?? null,
    deadLetters: status.backlog?.dead_letters ?? null,
  };
  const last = history.at(-1);
  const earlier = last && last.atS >= sample.atS ? history.filter((one) => one.atS < sample.atS) : history;
  return [...earlier.slice(-(HISTORY_LENGTH - 1)), sample];
}
