import { expect, test } from "vitest";
import { prettyJson } from "./prettyJson";

test.each([
  ["{}", "{}"],
  ["[ ]", "[]"],
  ['{"a":1}', '{\n  "a": 1\n}'],
  ['{"a":[1,{"b":null}],"c":{}}', '{\n  "a": [\n    1,\n    {\n      "b": null\n    }\n  ],\n  "c": {}\n}'],
  ['{"n":12345678901234567890.10}', '{\n  "n": 12345678901234567890.10\n}'],
  ['{"a":1,"a":2}', '{\n  "a": 1,\n  "a": 2\n}'],
  ['"a{b\\",:"', '"a{b\\",:"'],
])("%s is indented", (text, indented) => {
  expect(prettyJson(text)).toBe(indented);
});

test.each(["", "{", "<p>", "{'a':1}"])("%s is not JSON", (text) => {
  expect(prettyJson(text)).toBeNull();
});

test("a text of nothing but brackets is not indented, because that would fill the memory", () => {
  expect(prettyJson("[".repeat(5_000) + "]".repeat(5_000))).toBeNull();
});

test("a string of a million characters is one token", () => {
  const text = JSON.stringify(`${'a"\\'.repeat(300_000)}`);
  expect(prettyJson(text)).toBe(text);
});
