import { expect, test } from "vitest";
import { quotaInWords, windowInWords } from "../../parts/quota";
import type { Rule } from "./rule";
import { limitInWords, requestsInWords, whoInWords } from "./words";

const rule = (fields: Partial<Rule>): Rule => ({ rule_id: "a", key_type: "user", key_value: "*", ...fields });

test.each([
  [0.5, "0.5 s"],
  [60, "minute"],
  [90, "90 s"],
  [7200, "2 hours"],
  [86_400, "day"],
  [90_061, "90061 s"],
])("a window of %s s is said exactly", (seconds, words) => {
  expect(windowInWords(seconds)).toBe(words);
});

test("a quota a second is a rate", () => {
  expect(quotaInWords({ limit: 10, window_seconds: 1 })).toBe("10/s");
  expect(quotaInWords({ limit: 5, window_seconds: 60 })).toBe("5 per minute");
  expect(quotaInWords({ limit: null, window_seconds: null })).toBe("");
});

test.each<[object, string]>([
  [{ limit: 5, window_seconds: 60 }, "5 per minute, then rejected"],
  [{ limit: 5, window_seconds: 60, on_limit: "defer" }, "5 per minute, then deferred, drained from the limit itself"],
  [
    { limit: 5, window_seconds: 60, on_limit: "defer", drain: { limit: 10, window_seconds: 1, burst: 1 } },
    "5 per minute, then deferred, drained at 10/s",
  ],
  [{ action: "block" }, "blocked with 403"],
  [{ action: "allow" }, "exempt from rules of a lower priority"],
  [{ action: "defer", limit: 2, window_seconds: 1 }, "2/s, always deferred, drained from the limit itself"],
  [{ concurrency: 3 }, "3 at once, then rejected"],
  [
    { limit: 10, window_seconds: 1, limits: [{ limit: 1000, window_seconds: 86_400, algorithm: "gcra" }] },
    "10/s and 1\u202f000 per day, then rejected",
  ],
])("the limit of %j in words", (fields, words) => {
  expect(limitInWords(rule(fields as Partial<Rule>))).toBe(words);
});

test.each<[object, string]>([
  [{}, "each user"],
  [{ key_value: "bob" }, "user bob"],
  [{ key_type: "ip", key_value: "10.0.0.0/8" }, "address 10.0.0.0/8"],
  [{ key_type: "default", key_value: null }, "whoever no other rule covers"],
  [{ key_type: ["user", "claim:tenant"], key_value: ["*", "acme"] }, "each user × claim tenant acme"],
  [{ key_type: "header:x-key", key_value: "hmac-sha256:ab", secret: true }, "header x-key with a secret value"],
])("whom %j counts", (fields, words) => {
  expect(whoInWords(rule(fields as Partial<Rule>))).toBe(words);
});

test("which requests a rule is about", () => {
  expect(requestsInWords(undefined)).toBe("");
  expect(
    requestsInWords({
      methods: ["GET", "PUT"],
      path_prefix: "/api",
      claims: { plan: ["pro", "max"] },
      anonymous: false,
    }),
  ).toBe("GET, PUT below /api with plan pro or max with a token");
});
