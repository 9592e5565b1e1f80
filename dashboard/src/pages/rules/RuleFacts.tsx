import type { ReactNode } from "react";
import { formatBytes, formatCount } from "../../parts/numbers";
import { Facts } from "../../parts/Page";
import { quotaInWords } from "../../parts/quota";
import { formatDuration } from "../../time/format";
import { Moment } from "../../time/Moment";
import type { Rule } from "./rule";
import { requestsInWords, whoInWords } from "./words";

/** The fields of a rule, those too that have their defaults, as names and values. */
export function RuleFacts({ rule }: { rule: Rule }) {
  return <Facts facts={[...whom(rule), ...limits(rule), ...queue(rule), ...rest(rule)]} />;
}

type Fact = readonly [string, ReactNode];

function whom(rule: Rule): Fact[] {
  return [
    ["Who is counted", whoInWords(rule)],
    ["Requests", requestsInWords(rule.match) || "all"],
    ["Priority", formatCount(rule.priority ?? 0)],
  ];
}

function limits(rule: Rule): Fact[] {
  if (rule.action === "block" || rule.action === "allow") {
    return [["Action", rule.action]];
  }
  return [
    ["Limit", quotaInWords(rule) || "none"],
    ...(rule.limits ?? []).map((limit): Fact => ["And", quotaInWords(limit)]),
    ["Burst", rule.algorithm === "sliding_window" ? "exact window" : formatCount(rule.burst ?? rule.limit)],
    ["At once at the app servers", rule.concurrency ? formatCount(rule.concurrency) : "any number"],
    ["Cost of a request", costInWords(rule.cost)],
    ["Over the limit", rule.on_limit === "defer" || rule.action === "defer" ? "deferred (202)" : "rejected (429)"],
  ];
}

function costInWords(cost: Rule["cost"]): string {
  if (typeof cost === "object") {
    const stated = [cost.header && `header ${cost.header}`, cost.response_header && `answer ${cost.response_header}`];
    return `stated by ${stated.filter(Boolean).join(" and ")}, else ${formatCount(cost.default ?? 1)}`;
  }
  return formatCount(cost ?? 1);
}

function queue(rule: Rule): Fact[] {
  if (rule.on_limit !== "defer" && rule.action !== "defer") {
    return [];
  }
  const { max_depth = 1000, max_bytes = 1 << 26, max_wait_seconds = 3600, max_attempts = 5 } = rule.queue ?? {};
  return [
    ["Drain rate", rule.drain ? quotaInWords(rule.drain) : "the limit itself"],
    ["Waits at most", formatDuration(max_wait_seconds)],
    ["Jobs of a flow at most", `${formatCount(max_depth)}, ${formatBytes(max_bytes)}`],
    ["Attempts at most", formatCount(max_attempts)],
  ];
}

function rest(rule: Rule): Fact[] {
  return [
    ["While counters are away", rule.on_store_failure ?? "local"],
    ["Version", formatCount(rule.version)],
    ["Changed", <Moment key="changed" at={rule.updated_at} />],
    ["Changed by", rule.updated_by ?? "–"],
  ];
}
