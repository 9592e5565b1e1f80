import { expect, test } from "vitest";
import { mayBeTriedOn } from "./NewRulePreview";

test.each([
  [{ key_type: "user", key_value: "*" }, { key_type: "user", key_value: "bob" }, true],
  [{ key_type: "user", key_value: "bob" }, { key_type: "user", key_value: "bob" }, true],
  [{ key_type: "user", key_value: "eve" }, { key_type: "user", key_value: "bob" }, false],
  [{ key_type: "ip", key_value: "*" }, { key_type: "user", key_value: "bob" }, false],
  [{ key_type: "default" }, { key_type: "default" }, true],
  [{ key_type: ["user", "ip"], key_value: ["*", "*"] }, { key_type: ["user", "ip"], key_value: ["*", "*"] }, true],
])("whether the rule %j has requests for the draft %j: %s", (rule, draft, may) => {
  expect(mayBeTriedOn(rule, draft)).toBe(may);
});
