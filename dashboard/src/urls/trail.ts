import { useHistoryState } from "wouter/use-browser-location";
import { isRecord } from "../api/problem";

/**
 * The cursors of the pages that led to the present page of a list, the first page's ('') first. It is kept in the state
 * of the history entry, so that it outlives a reload and follows the browser's back and forward.
 */
export type Trail = readonly string[];

/** How many pages one can go back. */
const MAX_TRAIL = 100;

/** The trail that the state of a history entry holds; an empty one where it holds none, as for an address that was sent. */
export function trailOf(state: unknown): Trail {
  const trail = isRecord(state) ? state.trail : null;
  return Array.isArray(trail) && trail.every((cursor) => typeof cursor === "string") ? trail : [];
}

/** The trail once the page at `to` is shown in place of that at `from`: one shorter if that is one back. */
export function trailAfter(trail: Trail, from: string, to: string): Trail {
  if (to === "") {
    return [];
  }
  return to === trail.at(-1) ? trail.slice(0, -1) : [...trail, from].slice(-MAX_TRAIL);
}

/** The trail of the page that is shown. */
export function useTrail(): Trail {
  return trailOf(useHistoryState());
}
