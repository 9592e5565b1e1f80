import type { Schemas } from "../../api/client";
import { formatCount } from "../../parts/numbers";
import { quotaInWords } from "../../parts/quota";
import type { Rule } from "./rule";

/** What a rule does with requests: `5 per minute, then deferred, drained at 10/s`. */
export function limitInWords(rule: Rule): string {
  if (rule.action === "block") {
    return "blocked with 403";
  }
  if (rule.action === "allow") {
    return "exempt from rules of a lower priority";
  }
  return [quotasInWords(rule), overLimitInWords(rule), drainInWords(rule)].filter((part) => part !== "").join(", ");
}

/** All limits that a request has to pass: `10/s and 1 000 per day, 5 at once`. */
function quotasInWords(rule: Rule): string {
  const quotas = [quotaInWords(rule), ...(rule.limits ?? []).map(quotaInWords)].filter((quota) => quota !== "");
  const atOnce = rule.concurrency ? `${formatCount(rule.concurrency)} at once` : "";
  return [quotas.join(" and "), atOnce].filter((part) => part !== "").join(", ");
}

function overLimitInWords(rule: Rule): string {
  if (rule.action === "defer") {
    return "always deferred";
  }
  return rule.on_limit === "defer" ? "then deferred" : "then rejected";
}

function drainInWords(rule: Rule): string {
  if (rule.action !== "defer" && rule.on_limit !== "defer") {
    return "";
  }
  return rule.drain ? `drained at ${quotaInWords(rule.drain)}` : "drained from the limit itself";
}

/** Whom a rule counts: `each user`, `user bob`, `each user × each claim tenant`. A secret value is not shown. */
export function whoInWords({ key_type, key_value, secret }: Pick<Rule, "key_type" | "key_value" | "secret">): string {
  const types = Array.isArray(key_type) ? key_type : [key_type];
  const values = Array.isArray(key_value) ? key_value : [key_value];
  return types.map((type, at) => partInWords(type, values[at] ?? null, secret === true)).join(" × ");
}

function partInWords(type: string, value: string | null, secret: boolean): string {
  if (type === "default") {
    return "whoever no other rule covers";
  }
  const name = type === "ip" ? "address" : type.replace(":", " ");
  if (value === "*") {
    return `each ${name}`;
  }
  return secret && type.startsWith("header:") ? `${name} with a secret value` : `${name} ${value}`;
}

/** Which requests of a caller a rule is about: `GET below /api`; empty where it is about all. */
export function requestsInWords(match: Rule["match"]): string {
  const parts = [
    match?.methods?.length ? match.methods.join(", ") : "",
    match?.path_prefix ? `below ${match.path_prefix}` : "",
    match?.claims ? `with ${claimsInWords(match.claims)}` : "",
    match?.anonymous === true ? "without a token" : match?.anonymous === false ? "with a token" : "",
  ];
  return parts.filter((part) => part !== "").join(" ");
}

function claimsInWords(claims: NonNullable<Schemas["MatchConditions"]["claims"]>): string {
  return Object.entries(claims)
    .map(([name, value]) => `${name} ${Array.isArray(value) ? value.map(String).join(" or ") : String(value)}`)
    .join(" and ");
}
