import type { Sample } from "../../live/history";

/** How many dead letters there are, and how many more than at the beginning of what was followed. */
export type Rise = { now: number; more: number; overS: number };

/** How the number of dead letters has changed over the history; null while it is not known. */
export function riseOf(history: readonly Sample[]): Rise | null {
  const known = history.filter((sample) => sample.dead_letters !== null);
  const [first, last] = [known[0], known.at(-1)];
  if (first?.dead_letters == null || last?.dead_letters == null) {
    return null;
  }
  return { now: last.dead_letters, more: last.dead_letters - first.dead_letters, overS: last.atS - first.atS };
}
