import { expect, test } from "vitest";
import { parseJson } from "../../api/json";
import { type Change, changesOf } from "./changes";

const change = (path: string, from: string | null, to: string | null): Change => ({ path, from, to });

test("only members that differ are told, at any depth", () => {
  const before = { limit: 5, on_limit: "defer", queue: { max_attempts: 3, max_depth: 10 }, limits: [{ limit: 1 }] };
  const after = { limit: 7, on_limit: "defer", queue: { max_attempts: 9, max_depth: 10 }, limits: [{ limit: 2 }] };
  expect(changesOf(before, after)).toEqual([
    change("limit", "5", "7"),
    change("queue.max_attempts", "3", "9"),
    change("limits[0].limit", "1", "2"),
  ]);
});

test("what comes and goes is told by its members", () => {
  const drain = { limit: 1, window_seconds: 2 };
  expect(changesOf(null, { rule_id: "a", drain })).toEqual([
    change("rule_id", null, '"a"'),
    change("drain.limit", null, "1"),
    change("drain.window_seconds", null, "2"),
  ]);
  expect(changesOf({ drain }, {})).toEqual([
    change("drain.limit", "1", null),
    change("drain.window_seconds", "2", null),
  ]);
});

test("what becomes something of another kind is told as a whole", () => {
  expect(changesOf({ cost: 1 }, { cost: { header: "x" } })).toEqual([change("cost", "1", '{"header":"x"}')]);
  expect(changesOf({ tags: ["a"] }, { tags: [] })).toEqual([change("tags", '["a"]', "[]")]);
});

test("when and by whom it was changed is not repeated", () => {
  const [before, after] = [{ version: 1, updated_at: "a", updated_by: "b" }, { version: 2 }];
  expect(changesOf(before, after)).toEqual([]);
});

test("integers that a number cannot hold differ, and are shown as they are", () => {
  const [before, after] = [parseJson('{"t":9007199254740993}'), parseJson('{"t":9007199254740992}')];
  expect(changesOf(before, after)).toEqual([change("t", "9007199254740993", "9007199254740992")]);
});

test("values without members are compared themselves", () => {
  expect(changesOf("a", "b")).toEqual([change("", '"a"', '"b"')]);
  expect(changesOf(null, null)).toEqual([]);
});
