import { expect, test } from "vitest";
import { inputOfMoment, momentOfInput } from "./inputs";

test("in UTC an input has the moment as it is", () => {
  expect(inputOfMoment("2026-03-01T09:00:05Z", "utc")).toBe("2026-03-01T09:00:05");
  expect(momentOfInput("2026-03-01T09:00:05", "utc")).toBe("2026-03-01T09:00:05.000Z");
});

test.each(["local", "utc"] as const)("a moment survives the way through an input in the zone %s", (zone) => {
  for (const at of ["2026-01-15T23:30:00.000Z", "2026-07-15T00:30:00.000Z"]) {
    expect(momentOfInput(inputOfMoment(at, zone), zone)).toBe(at);
  }
});

test("in the viewer's zone an input has the time of its clocks", () => {
  const at = new Date(2026, 2, 1, 9, 0, 5);
  expect(inputOfMoment(at.toISOString(), "local")).toBe("2026-03-01T09:00:05");
});

test("what names no moment is none", () => {
  expect(inputOfMoment("", "utc")).toBe("");
  expect(inputOfMoment("yesterday", "local")).toBe("");
  expect(momentOfInput("", "local")).toBeNull();
  expect(momentOfInput("0202-03-01T09:00", "utc")).toBeNull();
});
