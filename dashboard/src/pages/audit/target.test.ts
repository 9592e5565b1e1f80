import { expect, test } from "vitest";
import { linkOfTarget } from "./target";

test.each([
  ["rule.changed", "per-user", "/rules/id/per-user"],
  ["dead_letter.rule_replayed", "per-user", "/rules/id/per-user"],
  ["job.canceled", "j1", "/jobs/j1"],
  ["dead_letter.deleted", "j1", "/jobs/j1"],
  ["operation.started", "o1", "/operations/o1"],
  ["flow.paused", "a|user:%3Cb%3E", "/flows?rule_id=a&descriptor=user%3A%253Cb%253E"],
  ["flow.purged", "a|claim:x>user:u;b|ip:192.0.2.1", "/flows?rule_id=a&descriptor=user%3Au"],
  ["session.begun", "x", null],
])("%s of %s leads to where it is shown", (action, target, link) => {
  expect(linkOfTarget(action, target)).toBe(link);
});
