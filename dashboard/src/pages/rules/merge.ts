import { sameJson } from "../../api/json";
import { isRecord } from "../../api/problem";
import { editableFields, type Fields } from "./rule";

type Path = readonly string[];
export type Side = "yours" | "theirs";

/** Fields that two people have changed in different ways, or one of them; `side` is null where a person has to choose. */
export type MergeRow = { name: string; paths: readonly Path[]; side: Side | null };

/** What makes sense only together is chosen together: 5 a minute and 10 an hour do not merge to 5 an hour. */
const TOGETHER: readonly (readonly string[])[] = [
  ["key_type", "key_value", "secret"],
  ["limit", "window_seconds", "burst", "algorithm"],
];

/** Objects whose members are independent of each other. */
const BY_MEMBER = new Set(["queue", "match"]);

/**
 * What differs between your version and theirs, of which both are changes of `base`.
 *
 * What only one of you has changed is decided already; what both have changed in different ways is not.
 */
export function mergeRows(base: Fields, yours: Fields, theirs: Fields): readonly MergeRow[] {
  const [from, one, other] = [base, yours, theirs].map(editableFields) as [Fields, Fields, Fields];
  return unitsOf([from, one, other])
    .filter(({ paths }) => differs(one, other, paths))
    .map((unit) => ({ ...unit, side: sideOf(unit.paths, from, one, other) }));
}

function sideOf(paths: readonly Path[], base: Fields, yours: Fields, theirs: Fields): Side | null {
  if (!differs(base, yours, paths)) {
    return "theirs";
  }
  return differs(base, theirs, paths) ? null : "yours";
}

/** Your fields, with theirs where a row says so. */
export function mergedFields(yours: Fields, theirs: Fields, rows: readonly MergeRow[]): Fields {
  let merged = editableFields(yours);
  for (const { paths } of rows.filter((row) => row.side === "theirs")) {
    for (const path of paths) {
      merged = withValue(merged, path, valueAt(theirs, path));
    }
  }
  return merged;
}

/** The value at a path; undefined where there is none, and where it is null, which is the same to the API. */
export function valueAt(fields: Fields, [name = "", member]: Path): unknown {
  const value = fields[name] ?? undefined;
  return member === undefined ? value : isRecord(value) ? (value[member] ?? undefined) : undefined;
}

function withValue(fields: Fields, [name = "", member]: Path, value: unknown): Fields {
  if (member === undefined) {
    return without({ ...fields, [name]: value });
  }
  const object = isRecord(fields[name]) ? fields[name] : {};
  const changed = without({ ...object, [member]: value });
  return without({ ...fields, [name]: Object.keys(changed).length === 0 ? undefined : changed });
}

function without(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function differs(one: Fields, other: Fields, paths: readonly Path[]): boolean {
  return paths.some((path) => !sameJson(valueAt(one, path) ?? null, valueAt(other, path) ?? null));
}

/** The fields of some versions, those together that belong together. */
function unitsOf(versions: readonly Fields[]): { name: string; paths: readonly Path[] }[] {
  const names = [...new Set(versions.flatMap((version) => Object.keys(version)))].filter((name) => name !== "rule_id");
  const units = new Map<string, Path[]>();
  for (const name of names) {
    const group = TOGETHER.find((together) => together.includes(name));
    if (group !== undefined) {
      units.set(
        group.join(", "),
        group.map((one) => [one]),
      );
    } else if (BY_MEMBER.has(name)) {
      for (const member of membersOf(versions, name)) {
        units.set(`${name}.${member}`, [[name, member]]);
      }
    } else {
      units.set(name, [[name]]);
    }
  }
  return [...units].map(([name, paths]) => ({ name, paths }));
}

function membersOf(versions: readonly Fields[], name: string): readonly string[] {
  return versions.flatMap((version) => (isRecord(version[name]) ? Object.keys(version[name]) : []));
}
