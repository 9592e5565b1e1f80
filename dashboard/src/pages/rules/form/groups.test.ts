import { expect, test } from "vitest";
import { fieldsToSend, GROUPS, groupsOf } from "./groups";

const draft = {
  rule_id: "a",
  key_type: "user",
  key_value: "*",
  limit: 5,
  drain: { limit: 1 },
  queue: { max_depth: 1 },
};

test("a rule that blocks is sent without what such rules do not have, which comes back with another action", () => {
  expect(fieldsToSend({ ...draft, action: "block" })).toEqual({
    rule_id: "a",
    key_type: "user",
    key_value: "*",
    limit: 5,
    action: "block",
  });
  expect(fieldsToSend({ ...draft, action: undefined })).toEqual(draft);
});

test("a rule that blocks has no groups about the limit", () => {
  const titles = groupsOf({ action: "allow" }).map((group) => group.title);
  expect(titles).toEqual(["Who", "Which requests", "Limit", "State and failure"]);
  expect(groupsOf({})).toBe(GROUPS);
});
