import { expect, test } from "vitest";
import type { Schema, Schemas } from "./schema";
import { problemAt, problemOfDetail, problemsOf } from "./validate";

const schemas: Schemas = {
  Drain: {
    type: "object",
    required: ["limit"],
    additionalProperties: false,
    properties: {
      limit: { type: "integer", minimum: 1, maximum: 1000 },
      window_seconds: { type: "number", minimum: 0.001 },
    },
  },
};
const rule: Schema = {
  type: "object",
  required: ["rule_id"],
  additionalProperties: false,
  properties: {
    rule_id: { type: "string", pattern: "^[a-z0-9_-]{1,64}$" },
    key_type: {
      oneOf: [
        { type: "string", pattern: "^(user|header:[!#$%&'*+.^`|~0-9a-z-]{1,64})$" },
        { type: "array", minItems: 2, items: { type: "string" } },
      ],
    },
    drain: { anyOf: [{ $ref: "#/components/schemas/Drain" }, { type: "null" }] },
    on_limit: { type: "string", enum: ["reject", "defer"] },
    shadow: { type: "boolean" },
    cost: { oneOf: [{ type: "integer", minimum: 1 }, { $ref: "#/components/schemas/Drain" }] },
  },
};

test("a draft that the schema allows has no problems", () => {
  const draft = {
    rule_id: "a",
    key_type: "header:x-key",
    drain: { limit: 5, window_seconds: 0.5 },
    cost: 2,
    shadow: true,
  };
  expect(problemsOf(draft, rule, schemas)).toEqual({});
  expect(problemsOf({ rule_id: "a", drain: null, key_type: ["user", "ip"] }, rule, schemas)).toEqual({});
});

test.each<[object, object]>([
  [{}, { rule_id: "required" }],
  [{ rule_id: "A b" }, { rule_id: "is not written as it must be; see the explanation" }],
  [{ rule_id: "a", drain: {} }, { "drain.limit": "required" }],
  [{ rule_id: "a", drain: { limit: 0 } }, { "drain.limit": "must be at least 1" }],
  [{ rule_id: "a", drain: { limit: 1.5 } }, { "drain.limit": "must be a whole number" }],
  [{ rule_id: "a", drain: { limit: "5x" } }, { "drain.limit": "must be a whole number" }],
  [{ rule_id: "a", drain: { limit: 5, window_seconds: 0 } }, { "drain.window_seconds": "must be at least 0.001" }],
  [{ rule_id: "a", on_limit: "drop" }, { on_limit: "must be reject, defer" }],
  [{ rule_id: "a", shadow: "yes" }, { shadow: "must be true or false" }],
  [{ rule_id: "a", other: 1 }, { other: "is not a known field" }],
  [{ rule_id: "a", key_type: ["user"] }, { key_type: "must be a text" }],
  [{ rule_id: "a", cost: { limit: 0 } }, { "cost.limit": "must be at least 1" }],
])("%j has the problems %j", (draft, problems) => {
  expect(problemsOf(draft, rule, schemas)).toEqual(problems);
});

test("an integer that no number holds is compared exactly", () => {
  const draft = { rule_id: "a", drain: { limit: 12345678901234567890n } };
  expect(problemsOf(draft, rule, schemas)).toEqual({ "drain.limit": "must be at most 1\u202f000" });
});

test.each([
  ["limit: required with action 'limit'", { limit: "required with action 'limit'" }],
  ["queue.max_depth: must be at least 1", { "queue.max_depth": "must be at least 1" }],
  ["schedule.0: limit: required", { "schedule.0.limit": "required" }],
  ["The body must be a JSON object.", { "": "The body must be a JSON object." }],
])("the detail %s is shown at its field", (detail, problems) => {
  expect(problemOfDetail(detail)).toEqual(problems);
});

test("a field shows what is wrong within it where nothing else does", () => {
  const problems = { "match.claims.plan": "must be a text" };
  expect(problemAt(problems, "match.claims")).toBeUndefined();
  expect(problemAt(problems, "match.claims", true)).toBe("plan must be a text");
});
