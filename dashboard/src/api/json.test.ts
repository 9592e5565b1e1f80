import { expect, test } from "vitest";
import { parseJson, sameJson, writeJson } from "./json";

test("integers of 64 bits are read and written as they are", () => {
  const text = '{"claims":{"tenant":9223372036854775807,"other":[-9007199254740993,1.5,"12345678901234567890"]}}';
  expect(parseJson(text)).toEqual({
    claims: { tenant: 9223372036854775807n, other: [-9007199254740993n, 1.5, "12345678901234567890"] },
  });
  expect(writeJson(parseJson(text))).toBe(text);
});

test("safe integers stay numbers", () => {
  expect(parseJson("9007199254740991")).toBe(9007199254740991);
});

test.each(["null", "true", "[]", "{}", '[[],{},[{}],"\\"{[,:]}\\\\"]', '{"a":{"b":[1,{"c":null}]},"d":""}', "1e+21"])(
  "%s is read as JSON.parse reads it",
  (text) => {
    expect(parseJson(text)).toEqual(JSON.parse(text));
    expect(JSON.parse(writeJson(parseJson(text)))).toEqual(JSON.parse(text));
    expect(JSON.parse(writeJson(parseJson(text), true))).toEqual(JSON.parse(text));
  },
);

test("a name that is given twice is refused, as the server refuses it", () => {
  expect(() => parseJson('{"limit":1,"burst":2,"limit":3}')).toThrow('The name "limit" is given twice.');
});

test("what is not JSON is refused", () => {
  expect(() => parseJson('{"limit":1,}')).toThrow(SyntaxError);
});

test("a member named __proto__ is a member", () => {
  expect(writeJson(parseJson('{"__proto__":{"a":1}}'))).toBe('{"__proto__":{"a":1}}');
});

test("pretty JSON is indented by two spaces", () => {
  expect(writeJson({ a: [1, 2n], b: {}, c: undefined }, true)).toBe('{\n  "a": [\n    1,\n    2\n  ],\n  "b": {}\n}');
});

test("the order of members makes no difference", () => {
  expect(sameJson({ a: 1, b: [{ c: 2, d: 3 }] }, { b: [{ d: 3, c: 2 }], a: 1 })).toBe(true);
  expect(sameJson([1, 2], [2, 1])).toBe(false);
  expect(sameJson({ a: 1 }, { a: 1n })).toBe(true);
});
