import { expect, test } from "vitest";
import { countInWords } from "./OperationDialog";
import { doneInWords } from "./Progress";
import { flowNameOf, hasEnded, listOf, namedByFilter, type Operation, secondsLeft } from "./words";

const OPERATION: Operation = {
  id: "x",
  kind: "replay_dead_letters",
  filter: {},
  state: "running",
  total: { at_least: 10, estimate: 10, is_exact: true },
  progress: 0.25,
  done: 2,
  skipped: 0,
  errors: {},
  rate_per_s: 500,
  actual_rate_per_s: null,
  started_by: "vera",
  canceled_by: null,
  created_at: "2026-03-01T09:00:00Z",
  started_at: "2026-03-01T09:00:00Z",
  ended_at: null,
  problem: null,
};

test("a count is said as exactly as it is known", () => {
  const exact = (count: number) => ({ at_least: count, estimate: count, is_exact: true });
  expect(countInWords("cancel_jobs", exact(17))).toBe("17 jobs would be canceled.");
  expect(countInWords("delete_dead_letters", exact(1))).toBe("1 dead letter would be deleted.");
  expect(countInWords("cancel_jobs", exact(0))).toBe("No job matches, so nothing would be canceled.");
  expect(countInWords("replay_dead_letters", { at_least: 20_000, estimate: 1_000_000, is_exact: false })).toBe(
    "At least 20\u202f000 dead letters would be replayed; all of them may be about 1\u202f000\u202f000.",
  );
});

test("what could not be done is counted beside what was", () => {
  expect(doneInWords(OPERATION)).toBe("2 dead letters replayed");
  expect(doneInWords({ ...OPERATION, done: 1, errors: { request_lost: 2, rule_not_in_force: 1 } })).toBe(
    "1 dead letter replayed, 3 could not be",
  );
});

test("an operation leads to the list that its filter makes", () => {
  expect(listOf({ kind: "delete_dead_letters", filter: { rule_id: "a", response_status: 503 } })).toBe(
    "/dead-letters?rule_id=a&response_status=503",
  );
  expect(listOf({ kind: "cancel_jobs", filter: { flow: "Zg" } })).toBe("/jobs?flow=Zg");
});

test("a flow is named by what it is charged for", () => {
  const flow = "per-user|user:alice;per-address|ip:192.0.2.1";
  const id = btoa(flow).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  expect(flowNameOf(id)).toBe(flow);
  expect(namedByFilter({ flow: id })).toEqual([{ field: "flow", name: "flow", value: flow }]);
});

test.each(["?", "_w", "a"])("what is no id of a flow is shown as it is: %s", (text) => {
  expect(flowNameOf(text)).toBe(text);
});

test("the time that is left follows from how it went", () => {
  const nowMs = Date.parse("2026-03-01T09:00:10Z");
  expect(secondsLeft(OPERATION, nowMs)).toBe(30);
  expect(secondsLeft({ ...OPERATION, progress: 0 }, nowMs)).toBeNull();
  expect(secondsLeft({ ...OPERATION, started_at: null }, nowMs)).toBeNull();
});

test.each([
  ["pending", false],
  ["running", false],
  ["canceling", false],
  ["completed", true],
  ["canceled", true],
  ["failed", true],
] as const)("an operation that is %s has ended: %s", (state, ended) => {
  expect(hasEnded({ state })).toBe(ended);
});
