import { expect, test } from "vitest";
import { fieldsOfKey, isHash, partsOfKey } from "./key";

test.each<object>([
  { key_type: "user", key_value: "*" },
  { key_type: "claim:https://example.com/tenant", key_value: "a:b" },
  { key_type: ["user", "header:x-key"], key_value: ["*", "k"] },
  { key_type: "default", key_value: undefined },
])("the key %j is the same after it was taken apart", (key) => {
  expect(fieldsOfKey(partsOfKey(key as Record<string, unknown>))).toEqual(key);
});

test("the default has no value, and a value that is missing is left out", () => {
  expect(fieldsOfKey([{ family: "default", name: "", value: "bob" }])).toEqual({ key_type: "default" });
  expect(fieldsOfKey([{ family: "ip", name: "", value: "" }])).toEqual({ key_type: "ip" });
});

test("what stands for a secret is known", () => {
  expect(isHash(`hmac-sha256:${"0a".repeat(32)}`)).toBe(true);
  expect(isHash("hmac-sha256:")).toBe(false);
});
