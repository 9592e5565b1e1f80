import { isRecord } from "../../../api/problem";
import { formatCount } from "../../../parts/numbers";
import { membersOf, resolved, type Schema, type Schemas } from "./schema";

/** What is wrong with a draft, by the path of the field: `queue.max_depth`, `limits.0.limit`. */
export type Problems = Readonly<Record<string, string>>;

/** What the schema has to say against a value. What only the server knows, such as sums of fields, is left to it. */
export function problemsOf(value: unknown, schema: Schema, schemas: Schemas, path = ""): Problems {
  const known = resolved(schema, schemas);
  if (value === undefined || value === null) {
    return {};
  }
  const alternatives = known.oneOf ?? known.anyOf;
  if (alternatives !== undefined) {
    return firstWithout(alternatives.map((one) => problemsOf(value, one, schemas, path)));
  }
  switch (known.type) {
    case "object":
      return problemsOfObject(value, known, schemas, path);
    case "array":
      return problemsOfArray(value, known, schemas, path);
    default: {
      const problem = problemOfScalar(value, known);
      return problem === null ? {} : { [path]: problem };
    }
  }
}

/** A value has to be one of the alternatives; else the problems of the one that it comes nearest to. */
function firstWithout(found: readonly Problems[]): Problems {
  const fewest = [...found].sort((one, other) => deepest(other) - deepest(one));
  return found.find((one) => Object.keys(one).length === 0) ?? fewest[0] ?? {};
}

function deepest(problems: Problems): number {
  return Math.max(...Object.keys(problems).map((path) => path.split(".").length));
}

function problemsOfObject(value: unknown, schema: Schema, schemas: Schemas, path: string): Problems {
  if (!isRecord(value)) {
    return { [path]: "must be an object" };
  }
  const found: Record<string, string> = {};
  for (const name of schema.required ?? []) {
    if (value[name] === undefined || value[name] === null) {
      found[below(path, name)] = "required";
    }
  }
  const members = membersOf(schema);
  for (const [name, member] of members) {
    Object.assign(found, problemsOf(value[name], member, schemas, below(path, name)));
  }
  if (schema.additionalProperties === false) {
    const names = new Set(members.map(([name]) => name));
    for (const name of Object.keys(value).filter((one) => !names.has(one))) {
      found[below(path, name)] = "is not a known field";
    }
  }
  return found;
}

function problemsOfArray(value: unknown, schema: Schema, schemas: Schemas, path: string): Problems {
  if (!Array.isArray(value)) {
    return { [path]: "must be a list" };
  }
  const { items = {}, minItems = 0, maxItems = Number.POSITIVE_INFINITY } = schema;
  if (value.length < minItems || value.length > maxItems) {
    return { [path]: value.length < minItems ? `must have at least ${minItems}` : `must have at most ${maxItems}` };
  }
  return Object.assign({}, ...value.map((one, at) => problemsOf(one, items, schemas, below(path, String(at)))));
}

function problemOfScalar(value: unknown, schema: Schema): string | null {
  switch (schema.type) {
    case "integer":
    case "number":
      return problemOfNumber(value, schema);
    case "string":
      return problemOfText(value, schema);
    case "boolean":
      return typeof value === "boolean" ? null : "must be true or false";
    default:
      return null;
  }
}

function problemOfNumber(value: unknown, { type, minimum, maximum }: Schema): string | null {
  const isWhole = typeof value === "bigint" || Number.isInteger(value);
  if (typeof value !== "bigint" && typeof value !== "number") {
    return type === "integer" ? "must be a whole number" : "must be a number";
  }
  if (type === "integer" && !isWhole) {
    return "must be a whole number";
  }
  if (minimum !== undefined && value < minimum) {
    return `must be at least ${minimum < 1 ? minimum : formatCount(minimum)}`;
  }
  return maximum !== undefined && value > maximum ? `must be at most ${formatCount(maximum)}` : null;
}

function problemOfText(value: unknown, schema: Schema): string | null {
  if (typeof value !== "string") {
    return "must be a text";
  }
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    return `must be ${schema.enum.join(", ")}`;
  }
  const length = [...value].length;
  if (length < (schema.minLength ?? 0)) {
    return "must not be empty";
  }
  if (length > (schema.maxLength ?? Number.POSITIVE_INFINITY)) {
    return `must have at most ${formatCount(schema.maxLength)} characters`;
  }
  const fits = schema.pattern === undefined || new RegExp(schema.pattern, "u").test(value);
  return fits ? null : "is not written as it must be; see the explanation";
}

function below(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

/** The field that a 422 of the server is about, and what it says; the path is empty where it names none. */
export function problemOfDetail(detail: string): Problems {
  const named = /^((?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*: )+)(.*)$/s.exec(detail);
  const path = (named?.[1] ?? "")
    .split(": ")
    .filter((part) => part !== "")
    .join(".");
  return { [path]: named?.[2] ?? detail };
}

/** The problem of the field at a path, or of something within it that has no field of its own. */
export function problemAt(problems: Problems, path: string, within = false): string | undefined {
  const inner = within ? Object.keys(problems).find((one) => one.startsWith(`${path}.`)) : undefined;
  return problems[path] ?? (inner === undefined ? undefined : `${inner.slice(path.length + 1)} ${problems[inner]}`);
}
