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
