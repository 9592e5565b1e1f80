import { sameJson } from "../../api/json";
import { isRecord } from "../../api/problem";
import { editableFields, type Fields } from "./rule";

/** A field that differs between two versions of a rule; undefined where a version has its default. */
export type Difference = { name: string; from: unknown; to: unknown };

/** What differs between two versions of a rule: fields, and of objects their members. null: there was no rule. */
export function differencesOf(from: Fields | null, to: Fields | null): readonly Difference[] {
  return within("", editableFields(from ?? {}), editableFields(to ?? {}));
}

function within(path: string, from: Fields, to: Fields): Difference[] {
  const names = [...new Set([...Object.keys(from), ...Object.keys(to)])].filter((name) => name !== "rule_id");
  return names.flatMap((name) => {
    const [one, other] = [from[name] ?? undefined, to[name] ?? undefined];
    if (sameJson(one ?? null, other ?? null)) {
      return [];
    }
    const inner = path === "" ? name : `${path}.${name}`;
    return isRecord(one) && isRecord(other) ? within(inner, one, other) : [{ name: inner, from: one, to: other }];
  });
}
