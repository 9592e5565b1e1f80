import { expect, test } from "vitest";
import { decisionInWords, type ExplainedRule, leftInWords, limitInWords, verdictOf } from "./words";

const RULE: ExplainedRule = {
  rule_id: "per-user",
  policy: "per-user",
  descriptor: "user:u",
  action: "limit",
  shadow: false,
  refuses: false,
  limit: 5,
  window_seconds: 60,
  burst: 5,
  algorithm: "gcra",
  cost: 1,
  on_limit: "reject",
  remaining: 3,
  in_flight: null,
  wait_seconds: 0,
  backlog: false,
  source: "rule",
  until: null,
};
const BLOCKING: ExplainedRule = { ...RULE, action: "block", limit: null, remaining: null };

test.each([
  ["forward", [], [RULE], "no rule refuses it"],
  ["forward", [], [{ ...RULE, shadow: true }], "no rule in force applies"],
  ["reject", ["per-user"], [RULE], "because the limit per-user refuses it now"],
  ["reject", ["a", "b"], [RULE], "because the limits a and b refuse it now"],
  ["defer", ["per-user"], [RULE], "sent later under the limit per-user"],
  ["block", ["closed"], [BLOCKING], "because closed blocks it"],
  ["block", [], [], "no rule applies to it"],
] as const)("the decision %s by %j is said in words", (decision, by, rules, said) => {
  expect(decisionInWords({ decision, by: [...by], rules: [...rules] })).toContain(said);
});

test.each([
  [RULE, "5 per minute, up to 5 at once"],
  [{ ...RULE, algorithm: "sliding_window", cost: 3 }, "5 per minute, in any window; this request costs 3"],
  [{ ...RULE, window_seconds: null, in_flight: 2 }, "5 in flight at once"],
  [BLOCKING, "blocks with 403"],
  [{ ...RULE, action: "allow" as const, limit: null }, "exempt from rules of a lower priority"],
])("a limit is said in words", (rule, said) => {
  expect(limitInWords(rule)).toBe(said);
});

test("what is left of a limit", () => {
  expect(leftInWords(RULE)).toBe("3 of 5 left");
  expect(leftInWords({ ...RULE, in_flight: 2 })).toBe("3 of 5 left, 2 in flight");
  expect(leftInWords(BLOCKING)).toBe("");
});

test.each([
  ["permits", "good", "", RULE],
  ["blocks", "bad", "blocks whatever", BLOCKING],
  ["refuses", "bad", "in 12 s", { ...RULE, refuses: true, wait_seconds: 12 }],
  ["refuses", "warn", "in 500 ms", { ...RULE, refuses: true, wait_seconds: 0.5, on_limit: "defer" as const }],
  ["refuses", "warn", "may not overtake", { ...RULE, refuses: true, backlog: true, on_limit: "defer" as const }],
  ["refuses", "bad", "are in flight", { ...RULE, refuses: true, remaining: 0, in_flight: 5 }],
  ["defers", "warn", "defers whatever", { ...RULE, action: "defer" as const }],
  ["would permit", "quiet", "changes nothing", { ...RULE, shadow: true }],
  ["would refuse", "quiet", "in 3 s. It is a shadow rule", { ...RULE, shadow: true, wait_seconds: 3 }],
])("a rule that %s (%s)", (word, tone, why, rule) => {
  const verdict = verdictOf(rule);
  expect([verdict.word, verdict.tone]).toEqual([word, tone]);
  expect(verdict.why).toContain(why);
});
