import { writeJson } from "../../api/json";
import { isRecord } from "../../api/problem";

/** A member that differs: its path (`queue.max_attempts`, `limits[1].limit`), and its texts; null: it is not set. */
export type Change = { path: string; from: string | null; to: string | null };

/** Members that say when and by whom a rule was changed, which the entry says itself. */
const SAID_ALREADY = new Set(["version", "updated_at", "updated_by"]);

/** The members, at any depth, that differ between two values. A value that has no members is one without a path. */
export function changesOf(before: unknown, after: unknown): Change[] {
  return differing(before ?? undefined, after ?? undefined, "").filter(({ path }) => !SAID_ALREADY.has(path));
}

function differing(before: unknown, after: unknown, path: string): Change[] {
  const from = membersOf(before);
  const to = membersOf(after);
  if (from === null || to === null || from.size + to.size === 0) {
    return textOf(before) === textOf(after) ? [] : [{ path, from: textOf(before), to: textOf(after) }];
  }
  const names = new Set([...from.keys(), ...to.keys()]);
  return [...names].flatMap((name) => differing(from.get(name), to.get(name), joined(path, name)));
}

/** The members of an object or a list of objects by their names; none where nothing is set; null: it has no members. */
function membersOf(value: unknown): ReadonlyMap<string, unknown> | null {
  if (Array.isArray(value) && value.every(isRecord)) {
    return new Map(value.map((one, at) => [`[${at}]`, one]));
  }
  return value === undefined || isRecord(value) ? new Map(Object.entries(value ?? {})) : null;
}

function joined(path: string, name: string): string {
  return path === "" || name.startsWith("[") ? path + name : `${path}.${name}`;
}

function textOf(value: unknown): string | null {
  return value === undefined ? null : writeJson(value);
}
