import { useQuery } from "@tanstack/react-query";
import { baseUrl, problemOf } from "../../../api/client";
import { Unreachable } from "../../../api/problem";

/** What the form reads of a JSON schema. */
export type Schema = {
  $ref?: string;
  type?: string;
  description?: string;
  default?: unknown;
  enum?: readonly string[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  pattern?: string;
  required?: readonly string[];
  properties?: Readonly<Record<string, Schema>>;
  additionalProperties?: boolean | Schema;
  items?: Schema;
  anyOf?: readonly Schema[];
  oneOf?: readonly Schema[];
};

export type Schemas = Readonly<Record<string, Schema>>;

/** The schemas of the OpenAPI document that the admin process serves, which the form explains and checks fields by. */
export function useSchemas() {
  return useQuery({
    queryKey: ["openapi"],
    queryFn: ({ signal }) => readSchemas(signal),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

async function readSchemas(signal: AbortSignal): Promise<Schemas> {
  const response = await fetch(new URL("openapi.json", baseUrl()), { signal }).catch((error: unknown) => {
    throw signal.aborted ? error : new Unreachable();
  });
  if (!response.ok) {
    throw await problemOf(response);
  }
  return (await response.json()).components.schemas;
}

/** A schema with what it refers to, and without null as an alternative; its own description and default stay. */
export function resolved(schema: Schema, schemas: Schemas): Schema {
  const { $ref, anyOf, ...own } = schema;
  if ($ref !== undefined) {
    const named = schemas[$ref.slice($ref.lastIndexOf("/") + 1)] ?? {};
    return resolved({ ...named, ...own }, schemas);
  }
  const alternatives = (anyOf ?? []).filter((one) => one.type !== "null");
  const [only] = alternatives;
  return alternatives.length === 1 && only !== undefined ? resolved({ ...only, ...own }, schemas) : schema;
}

/** The schemas of an object's members. */
export function membersOf(schema: Schema): readonly (readonly [string, Schema])[] {
  return Object.entries(schema.properties ?? {});
}

const UNITS: readonly (readonly [RegExp, string])[] = [
  [/_seconds$/, " (seconds)"],
  [/_ms$/, " (ms)"],
  [/_bytes$/, " (bytes)"],
];

/** A field's name for people: `max_wait_seconds` is `Max wait (seconds)`. */
export function labelOf(name: string): string {
  const [unit, said] = UNITS.find(([one]) => one.test(name)) ?? [/$/, ""];
  const words = name.replace(unit, "").replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1) + said;
}
