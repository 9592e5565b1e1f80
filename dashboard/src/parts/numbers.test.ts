import { expect, test } from "vitest";
import { counted, formatBytes, formatCount, formatRate } from "./numbers";

test.each([
  [0, "0"],
  [1234, "1\u202f234"],
  [1_234_567, "1\u202f234\u202f567"],
  [12345678901234567890n, "12\u202f345\u202f678\u202f901\u202f234\u202f567\u202f890"],
  [null, "–"],
  [undefined, "–"],
])("the count %s", (count, text) => {
  expect(formatCount(count)).toBe(text);
});

test.each([
  [0, "0/s"],
  [0.08333, "0.0833/s"],
  [12.54, "12.5/s"],
  [1250, "1\u202f250/s"],
  [null, "–"],
])("the rate %s", (rate, text) => {
  expect(formatRate(rate)).toBe(text);
});

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1536, "1.5 KiB"],
  [20 * 1024 ** 2, "20 MiB"],
  [3 * 1024 ** 5, "3072 TiB"],
  [null, "–"],
])("%s bytes", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test("one is not many", () => {
  expect([counted(1, "job"), counted(2, "job"), counted(0, "entry", "entries")]).toEqual([
    "1 job",
    "2 jobs",
    "0 entries",
  ]);
});
