import { expect, test } from "vitest";
import { trailAfter, trailOf } from "./trail";

test("forward and back by the way that one came", () => {
  const second = trailAfter([], "", "b");
  const third = trailAfter(second, "b", "c");
  expect([second, third]).toEqual([[""], ["", "b"]]);
  expect(trailAfter(third, "c", "b")).toEqual([""]);
  expect(trailAfter(second, "b", "")).toEqual([]);
});

test("it is bounded", () => {
  const cursors = Array.from({ length: 500 }, (_, at) => String(at + 1));
  const trail = cursors.reduce((before, to, at) => trailAfter(before, String(at), to), [] as readonly string[]);
  expect(trail).toHaveLength(100);
  expect(trail.at(-1)).toBe("499");
});

test.each([null, undefined, "x", { trail: "x" }, { trail: [1] }, []])("the state %j has no trail", (state) => {
  expect(trailOf(state)).toEqual([]);
});
