import { ApiProblem, isRecord } from "../../api/problem";
import type { Fields } from "./rule";

/** Somebody else has changed the rule that you have edited. `theirs` is null: it has been deleted. */
export type Conflict = { base: Fields; yours: Fields; theirs: Fields | null; etag: string | null };

/** The conflict that a refusal tells of; null: it is another one. */
export function conflictOf(error: unknown, base: Fields, yours: Fields): Conflict | null {
  if (!(error instanceof ApiProblem) || error.status !== 412) {
    return null;
  }
  const { current, current_etag } = error.body;
  const theirs = isRecord(current) ? current : null;
  return { base, yours, theirs, etag: typeof current_etag === "string" ? current_etag : null };
}
