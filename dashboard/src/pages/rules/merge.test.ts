import { expect, test } from "vitest";
import { type MergeRow, mergedFields, mergeRows } from "./merge";

const base = { key_type: "user", key_value: "*", limit: 5, window_seconds: 60, queue: { max_depth: 10 }, version: 1 };

const sides = (rows: readonly MergeRow[]) => Object.fromEntries(rows.map((row) => [row.name, row.side]));

test("what only one has changed is taken, and what both have changed is asked", () => {
  const yours = { ...base, limit: 7, priority: 3, queue: { max_depth: 20 } };
  const theirs = { ...base, window_seconds: 30, shadow: true, queue: { max_depth: 10, max_attempts: 2 }, version: 2 };
  const rows = mergeRows(base, yours, theirs);
  expect(sides(rows)).toEqual({
    "limit, window_seconds, burst, algorithm": null,
    priority: "yours",
    shadow: "theirs",
    "queue.max_depth": "yours",
    "queue.max_attempts": "theirs",
  });
});

test("the id is no question, which a draft need not name", () => {
  expect(mergeRows({ ...base, rule_id: "a" }, base, { ...base, rule_id: "a" })).toEqual([]);
});

test("what both have changed alike is no question", () => {
  expect(mergeRows(base, { ...base, limit: 7 }, { ...base, limit: 7 })).toEqual([]);
  expect(mergeRows({ ...base, drain: { limit: 1 } }, base, { ...base, drain: null })).toEqual([]);
});

test("the merge has each field from the side that was chosen", () => {
  const yours = { ...base, limit: 7, priority: 3, queue: { max_depth: 20 } };
  const theirs = { ...base, limit: 9, window_seconds: 30, shadow: true, queue: { max_depth: 10, max_attempts: 2 } };
  const rows = mergeRows(base, yours, theirs).map((row) => ({ ...row, side: row.side ?? ("theirs" as const) }));
  expect(mergedFields(yours, theirs, rows)).toEqual({
    key_type: "user",
    key_value: "*",
    limit: 9,
    window_seconds: 30,
    priority: 3,
    shadow: true,
    queue: { max_depth: 20, max_attempts: 2 },
  });
});

test("a field that the other one has removed is removed", () => {
  const before = { ...base, drain: { limit: 1, window_seconds: 1 } };
  const rows = mergeRows(before, { ...before, priority: 1 }, { ...base, queue: {} });
  expect(sides(rows)).toEqual({ priority: "yours", drain: "theirs", "queue.max_depth": "theirs" });
  expect(
    mergedFields(
      { ...before, priority: 1 },
      base,
      rows.filter((row) => row.name === "drain"),
    ),
  ).not.toHaveProperty("drain");
});

test("integers that no number holds are compared exactly", () => {
  const claims = (tenant: bigint) => ({ ...base, match: { claims: { tenant } } });
  const rows = mergeRows(claims(9007199254740993n), claims(9007199254740993n), claims(9007199254740995n));
  expect(sides(rows)).toEqual({ "match.claims": "theirs" });
});
