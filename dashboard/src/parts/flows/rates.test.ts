import { expect, test } from "vitest";
import { aFlow } from "./aFlow";
import { outlook, rateInWords, rateNow } from "./rates";

const RULE = { cost: 1, limit: 300, window_seconds: 60, drain: { limit: 5, window_seconds: 1, burst: 1 } };

test("a flow takes longer in the proportion in which its rate falls", () => {
  const flow = aFlow({ waiting: 1000, eta_seconds: 200, permitted_per_second: 5 });
  expect(outlook(flow, RULE, "flow", { limit: 1, window_seconds: 1 })).toEqual({
    perSecond: 1,
    etaSeconds: 1000,
    why: "",
  });
});

test("the time for which a flow is held stays the same", () => {
  const flow = aFlow({ state: "held", waiting: 100, eta_seconds: 50, permitted_per_second: 5 });
  expect(outlook(flow, RULE, "flow", { limit: 10, window_seconds: 1 }).etaSeconds).toBe(40);
});

test("a paused flow is reckoned by its depth", () => {
  const flow = aFlow({ state: "paused", waiting: 40, eta_seconds: null });
  expect(outlook(flow, RULE, "flow", { limit: 2, window_seconds: 1 }).etaSeconds).toBe(20);
});

test("a limit of another rule, lower than the rate, decides and is named", () => {
  const flow = aFlow({ permitted_by: "per-address", permitted_per_second: 3 });
  const found = outlook(flow, RULE, "flow", { limit: 50, window_seconds: 1 });
  expect([found.perSecond, found.why]).toEqual([3, "The rule per-address permits no more."]);
  expect(outlook(flow, RULE, "flow", { limit: 1, window_seconds: 1 }).perSecond).toBe(1);
});

test("the own limit of a rule without a drain rate holds for a flow, and not for a drain rate of the rule", () => {
  const flow = aFlow();
  const rule = { ...RULE, drain: null };
  const rate = { limit: 50, window_seconds: 1 };
  expect(outlook(flow, rule, "flow", rate).perSecond).toBe(5);
  expect(outlook(flow, rule, "rule", rate).perSecond).toBe(50);
});

test("a flow with a rate of its own keeps it when the rule's changes", () => {
  const flow = aFlow({ own_rate: { limit: 2, window_seconds: 1, burst: 1 }, permitted_per_second: 2 });
  const found = outlook(flow, RULE, "rule", { limit: 50, window_seconds: 1 });
  expect(found.perSecond).toBe(2);
  expect(found.why).toContain("a rate of its own");
});

test("jobs that cost more than one unit drain more slowly", () => {
  expect(outlook(aFlow(), { ...RULE, cost: 10 }, "flow", { limit: 5, window_seconds: 1 }).perSecond).toBe(0.5);
});

test.each([
  [5, { limit: 5, window_seconds: 1 }],
  [0.5, { limit: 30, window_seconds: 60 }],
  [100 / 3600, { limit: 100, window_seconds: 3600 }],
])("the form begins with %s a second in whole jobs", (permitted, rate) => {
  expect(rateNow(aFlow({ permitted_per_second: permitted }), null, "flow")).toEqual(rate);
});

test("rates are said in words", () => {
  expect(rateInWords({ limit: 5, window_seconds: 1 })).toBe("5 a second");
  expect(rateInWords({ limit: 5, window_seconds: 7 })).toBe("5 in 7 s");
});
