import type { Sample } from "../../live/history";

/** How many dead letters there are, and how many more than at the beginning of what was followed. */
export type Rise = { now: number; more: number; overS: number };

/** How the number of dead letters has changed over the history; null while it is not known. */
export function riseOf(history: readonly Sample[]): Rise | null {
  const known = history.filter((sample) => sample.deadLetters !== null);
  const [first, last] = [known[0], known.at(-1)];
  if (first?.deadLetters == null || last?.deadLetters == null) {
    return null;
  }
  return { now: last.deadLetters, more: last.deadLetters - first.deadLetters, overS: last.atS - first.atS };
}
