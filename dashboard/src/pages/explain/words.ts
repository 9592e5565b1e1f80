import type { Schemas } from "../../api/client";
import { formatCount } from "../../parts/numbers";
import { quotaInWords } from "../../parts/quota";
import { formatDuration } from "../../time/format";

export type Explanation = Schemas["Explanation"];
export type ExplainedRule = Schemas["ExplainedRule"];

/** What an edge would do with the request now, and why, in a sentence or two. */
export function decisionInWords({ decision, by, rules }: Explanation): string {
  switch (decision) {
    case "forward":
      return rules.some((rule) => !rule.shadow)
        ? "The request would be forwarded to an app server now: no rule refuses it."
        : "The request would be forwarded to an app server now: no rule in force applies to it.";
    case "reject":
      return `The request would be rejected with 429, because ${limitsOf(by)} ${by.length > 1 ? "refuse" : "refuses"} it now.`;
    case "defer":
      return `The request would be deferred: stored as a job, answered 202, and sent later under ${limitsOf(by)}.`;
    case "block":
      return by.length > 0
        ? `The request would be refused with 403, because ${by.join(" and ")} blocks it.`
        : "The request would be refused with 403: no rule applies to it, and this installation forwards only what a rule allows.";
  }
}

function limitsOf(by: readonly string[]): string {
  return by.length > 1 ? `the limits ${by.join(" and ")}` : `the limit ${by.join()}`;
}

/** What a limit permits: `5 per minute, up to 5 at once`, `10 in flight`; what a rule without one does. */
export function limitInWords(rule: ExplainedRule): string {
  if (rule.limit === null || rule.limit === undefined) {
    return rule.action === "block" ? "blocks with 403" : "exempt from rules of a lower priority";
  }
  if (rule.window_seconds === null || rule.window_seconds === undefined) {
    return `${formatCount(rule.limit)} in flight at once`;
  }
  const how = rule.algorithm === "sliding_window" ? "in any window" : `up to ${formatCount(rule.burst)} at once`;
  const cost = rule.cost && rule.cost !== 1 ? `; this request costs ${formatCount(rule.cost)}` : "";
  return `${quotaInWords(rule)}, ${how}${cost}`;
}

/** What is left of a limit now, in words; empty where there is no limit. */
export function leftInWords({ limit, remaining, in_flight }: ExplainedRule): string {
  if (remaining === null || remaining === undefined) {
    return "";
  }
  const used = in_flight === null || in_flight === undefined ? "" : `, ${formatCount(in_flight)} in flight`;
  return `${formatCount(remaining)} of ${formatCount(limit)} left${used}`;
}

export type Verdict = { tone: "good" | "warn" | "bad" | "quiet"; word: string; why: string };

/** What a rule says to the request: a word, and a sentence that gives the reason. */
export function verdictOf(rule: ExplainedRule): Verdict {
  const verdict = verdictAlone(rule);
  if (!rule.shadow) {
    return verdict;
  }
  const would = verdict.tone === "good" ? "would permit" : "would refuse";
  return { tone: "quiet", word: would, why: `${verdict.why} It is a shadow rule, which changes nothing.`.trim() };
}

function verdictAlone(rule: ExplainedRule): Verdict {
  if (rule.action === "block") {
    return { tone: "bad", word: "blocks", why: "The rule blocks whatever it applies to." };
  }
  if (rule.limit === null || rule.limit === undefined) {
    return { tone: "good", word: "permits", why: "" };
  }
  if (isOver(rule)) {
    return { tone: over(rule), word: "refuses", why: reasonOf(rule) };
  }
  if (rule.action === "defer") {
    return { tone: "warn", word: "defers", why: "The rule defers whatever it applies to." };
  }
  return { tone: "good", word: "permits", why: "" };
}

/** Whether the limit is spent. `refuses` does not say so of a shadow rule. */
function isOver({ refuses, wait_seconds, in_flight, remaining }: ExplainedRule): boolean {
  return refuses || (wait_seconds ?? 0) > 0 || (typeof in_flight === "number" && remaining === 0);
}

function over(rule: ExplainedRule): "warn" | "bad" {
  return rule.on_limit === "defer" || rule.action === "defer" ? "warn" : "bad";
}

function reasonOf({ backlog, wait_seconds, in_flight }: ExplainedRule): string {
  if (backlog) {
    return "Jobs wait for this limit already, and a request may not overtake them.";
  }
  if (in_flight !== null && in_flight !== undefined) {
    return "As many requests as it permits are in flight.";
  }
  return `It would permit the request in ${formatDuration(wait_seconds ?? 0)}.`;
}
