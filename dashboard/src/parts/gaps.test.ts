import { expect, test } from "vitest";
import { type Lines, withGaps } from "./gaps";

test.each<[string, Lines, Lines]>([
  ["nothing", [[], []], [[], []]],
  [
    "values without a gap",
    [
      [1, 2, 7],
      [1, null, 3],
    ],
    [
      [1, 2, 7],
      [1, null, 3],
    ],
  ],
  [
    "two lines with a gap",
    [
      [1, 2, 10, 11],
      [1, 2, 3, 4],
      [5, 6, 7, 8],
    ],
    [
      [1, 2, 6, 10, 11],
      [1, 2, null, 3, 4],
      [5, 6, null, 7, 8],
    ],
  ],
])("a line is drawn over no time in which nothing was seen: %s", (_, lines, drawn) => {
  expect(withGaps(lines, 5)).toEqual(drawn);
});
