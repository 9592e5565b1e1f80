import type { Schemas } from "../../api/client";

type Flow = Schemas["Flow"];

/** What of a rule says how its flows drain. */
export type DrainRule = {
  cost?: unknown;
  limit?: number | null;
  window_seconds?: number | null;
  drain?: (Rate & { burst?: number; concurrency?: number | null }) | null;
};

/** Whose rate is changed: that of one flow, or that of all flows of its rule. */
export type Target = "flow" | "rule";

/** A rate as the API takes it, in jobs of cost 1. */
export type Rate = { limit: number; window_seconds: number };

export const WINDOWS: readonly (readonly [number, string])[] = [
  [1, "second"],
  [60, "minute"],
  [3600, "hour"],
  [86_400, "day"],
];

/** What a new rate would do to a flow. `why`: what else decides, if the rate alone does not. */
export type Outlook = { perSecond: number; etaSeconds: number | null; why: string };

/**
 * What a rate would do to a flow, before it is set. Other limits hold as well: a lower one of another rule, and the rule's
 * own limit where the rule has no drain rate. `rule` is null where the rule is gone.
 */
export function outlook(flow: Flow, rule: DrainRule | null, target: Target, rate: Rate): Outlook {
  const cost = typeof rule?.cost === "number" ? Math.max(1, rule.cost) : 1;
  const wanted = rate.limit / rate.window_seconds / cost;
  const [perSecond, why] = lowest(flow, rule, target, wanted, cost);
  return { perSecond, etaSeconds: etaAt(flow, perSecond), why };
}

function lowest(flow: Flow, rule: DrainRule | null, target: Target, wanted: number, cost: number): [number, string] {
  const now = flow.permitted_per_second;
  if (target === "rule" && flow.own_rate !== null) {
    const own = flow.own_rate.limit / flow.own_rate.window_seconds / cost;
    return [Math.min(own, now ?? own), "This flow has a rate of its own, which stays in force."];
  }
  if (now !== null && flow.permitted_by !== null && flow.permitted_by !== flow.rule_id && now < wanted) {
    return [now, `The rule ${flow.permitted_by} permits no more.`];
  }
  const ofRule = rule?.limit && rule.window_seconds ? rule.limit / rule.window_seconds / cost : null;
  if (target === "flow" && rule !== null && !rule.drain && ofRule !== null && ofRule < wanted) {
    return [
      ofRule,
      "The rule's own limit holds as well, as it has no drain rate: set the rate of the rule to pass it.",
    ];
  }
  return [wanted, ""];
}

/**
 * How long a flow takes until it is empty at a rate. Where that is known of now, it changes in proportion, because flows
 * may take turns; the time for which an app server holds a flow does not change.
 */
function etaAt(flow: Flow, perSecond: number): number | null {
  if (perSecond <= 0 || flow.waiting === 0) {
    return flow.waiting === 0 ? 0 : null;
  }
  const atRate = flow.waiting / perSecond;
  if (flow.eta_seconds === null || !flow.permitted_per_second) {
    return atRate;
  }
  if (flow.state === "held") {
    return Math.max(atRate, flow.eta_seconds + atRate - flow.waiting / flow.permitted_per_second);
  }
  return (flow.eta_seconds * flow.permitted_per_second) / perSecond;
}

/** The rate that fills the form first: the one that is set, else the nearest to what is permitted. */
export function rateNow(flow: Flow, rule: DrainRule | null, target: Target): Rate {
  const set = target === "flow" ? flow.own_rate : (rule?.drain ?? null);
  if (set) {
    return { limit: set.limit, window_seconds: set.window_seconds };
  }
  const perSecond = flow.permitted_per_second ?? 1;
  const window = WINDOWS.find(([seconds]) => Number.isInteger(round(perSecond * seconds))) ?? [1];
  return { limit: Math.max(1, Math.round(perSecond * window[0])), window_seconds: window[0] };
}

function round(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}

/** A rate in words: `5 a second`. */
export function rateInWords({ limit, window_seconds }: Rate): string {
  const unit = WINDOWS.find(([seconds]) => seconds === window_seconds);
  return unit ? `${limit} a ${unit[1]}` : `${limit} in ${window_seconds} s`;
}
