import { expect, test } from "vitest";
import type { Sample } from "../../live/history";
import { riseOf } from "./rise";

function sample(atS: number, dead_letters: number | null): Sample {
  const decisions = { forward: 0, reject: 0, defer: 0, block: 0 } as Sample["decisions"];
  const unknown = { jobs: null, oldest_age_seconds: null, permitted_per_second: null, actual_per_second: null };
  return { atS, decisions, dead_letters, ...unknown };
}

test("the rise is counted from the first number that is known", () => {
  expect(riseOf([sample(1, null), sample(2, 5), sample(12, 9), sample(13, null)])).toEqual({
    now: 9,
    more: 4,
    overS: 10,
  });
  expect(riseOf([sample(2, 9), sample(3, 5)])).toEqual({ now: 5, more: -4, overS: 1 });
});

test("without a number there is no rise", () => {
  expect(riseOf([])).toBeNull();
  expect(riseOf([sample(1, null)])).toBeNull();
});
