import { expect, test } from "vitest";
import { differencesOf } from "./differences";

test("members of objects are compared by themselves, and what the store keeps is left out", () => {
  const from = { rule_id: "a", limit: 5, drain: { limit: 1, window_seconds: 1 }, version: 1, updated_by: "x" };
  const to = { rule_id: "a", limit: 5, drain: { limit: 2, window_seconds: 1 }, shadow: true, version: 2 };
  expect(differencesOf(from, to)).toEqual([
    { name: "drain.limit", from: 1, to: 2 },
    { name: "shadow", from: undefined, to: true },
  ]);
});

test("a rule that was not there differs in all its fields", () => {
  expect(differencesOf(null, { rule_id: "a", limit: 5 })).toEqual([{ name: "limit", from: undefined, to: 5 }]);
  expect(differencesOf({ limit: 9007199254740993n }, { limit: 9007199254740992n })).toHaveLength(1);
});
