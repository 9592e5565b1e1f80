import type { Schemas } from "../../api/client";
import type { Filters } from "../../urls/filters";

export type ExplainRequest = Schemas["ExplainRequest"];

/** What is typed into the form. Claims and headers have a name and a value on each line: `name: value`. */
export type Typed = { user: string; ip: string; claims: string; method: string; path: string; headers: string };

/** What the address holds of it. Headers are not in it, because they may be credentials. */
export function typedOf(filters: Filters): Typed {
  const { user = "", ip = "", claims = "", method = "", path = "" } = filters;
  return { user, ip, claims, method, path, headers: "" };
}

/** What the address has to hold, so that the explanation can be sent to a colleague. */
export function filtersOf({ headers: _, ...kept }: Typed): Filters {
  return kept;
}

/** Whether the address asks for an explanation. */
export function isAsked(filters: Filters): boolean {
  return Object.entries(typedOf(filters)).some(([, value]) => value !== "");
}

/** The question for the admin API; what is not typed has the API's default. Throws Error, which names the field. */
export function requestOf(typed: Typed): ExplainRequest {
  const user = typed.user.trim();
  const claims = pairsOf(typed.claims, "Claims");
  if (user === "" && Object.keys(claims).length > 0) {
    throw new Error(
      "Claims: a caller without a token has none. Say whose token it is under Caller, or leave them out.",
    );
  }
  return {
    user: user === "" ? null : user,
    // Descriptors count an IPv6 address by its network, which the admin API does again by itself.
    ip: typed.ip.trim().replace(/\/\d+$/, "") || "127.0.0.1",
    claims,
    method: typed.method.trim() || "GET",
    path: typed.path.trim() || "/",
    headers: pairsOf(typed.headers, "Headers"),
  };
}

/** Names and values of lines `name: value` (or `name=value`). Values are texts, as rules compare and count them. */
function pairsOf(lines: string, field: string): Record<string, string> {
  const pairs = lines
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [, name, value] = /^\s*([^:=\s]+)\s*[:=]\s*(.*?)\s*$/.exec(line) ?? [];
      if (name === undefined || value === undefined) {
        throw new Error(`${field}: “${line.trim()}” has no name and value. Write one on each line, as plan: gold.`);
      }
      return [name, value] as const;
    });
  return Object.fromEntries(pairs);
}
