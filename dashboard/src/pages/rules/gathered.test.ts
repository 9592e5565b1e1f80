import { expect, test } from "vitest";
import type { Schemas } from "../../api/client";
import { gathered, MAX_REQUESTS } from "./gathered";

type RuleList = Schemas["RuleList"];

const rules = (...ids: number[]) => ids.map((id) => ({ rule_id: String(id) })) as RuleList["rules"];

/** Answers from a list, and notes what it was asked. */
function answering(answers: readonly RuleList[]) {
  const asked: [string, number][] = [];
  const ask = async (after: string, limit: number) => {
    asked.push([after, limit]);
    return answers[asked.length - 1] ?? { rules: [], invalid: [], next: String(asked.length) };
  };
  return { ask, asked };
}

test("a page that is full takes one request", async () => {
  const { ask, asked } = answering([{ rules: rules(1, 2), invalid: [], next: "2" }]);
  expect(await gathered(ask, "", 2)).toEqual({ rules: rules(1, 2), invalid: [], next: "2" });
  expect(asked).toEqual([["", 2]]);
});

test("a short answer is filled up by those that follow, and never beyond the size", async () => {
  const { ask, asked } = answering([
    { rules: rules(1), invalid: [], next: "5000" },
    { rules: [], invalid: [], next: "10000" },
    { rules: rules(2, 3), invalid: [], next: "3" },
  ]);
  expect(await gathered(ask, "", 3)).toEqual({ rules: rules(1, 2, 3), invalid: [], next: "3" });
  expect(asked).toEqual([
    ["", 3],
    ["5000", 2],
    ["10000", 2],
  ]);
});

test("the last page ends where nothing is left", async () => {
  const { ask } = answering([
    { rules: [], invalid: [], next: "5000" },
    { rules: rules(7), invalid: [], next: null },
  ]);
  expect(await gathered(ask, "", 100)).toEqual({ rules: rules(7), invalid: [], next: null });
});

test("a search that finds nothing among very many stops, and says how to go on", async () => {
  const { ask, asked } = answering([]);
  expect((await gathered(ask, "", 100)).next).toBe(String(MAX_REQUESTS));
  expect(asked).toHaveLength(MAX_REQUESTS);
});
