import { expect, test } from "vitest";
import { formatDuration, formatMoment, formatRelative } from "./format";

test.each([
  [0, "0 s"],
  [0.0001, "1 ms"],
  [0.02, "20 ms"],
  [0.9996, "1 s"],
  [1.5, "1.5 s"],
  [9.96, "10 s"],
  [12.4, "12 s"],
  [59.7, "1 min"],
  [60, "1 min"],
  [61, "1 min 1 s"],
  [3599.9, "1 h"],
  [3 * 3600 + 5 * 60 + 7, "3 h 5 min"],
  [86_400, "1 d"],
  [3 * 86_400 + 4 * 3600, "3 d 4 h"],
])("%d s are %s", (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

test.each([
  [0, "now"],
  [0.4, "now"],
  [12, "12 s ago"],
  [-12, "in 12 s"],
  [304, "5 min ago"],
  [-61, "in 1 min"],
  [2 * 3600 + 300 + 20, "2 h 5 min ago"],
])("what was %d s ago is %s", (seconds, text) => {
  expect(formatRelative(0, seconds * 1000)).toBe(text);
});

test("a moment is shown in UTC or in the zone of the viewer, which is said", () => {
  const moment = new Date("2026-01-31T23:30:05Z");
  expect(formatMoment(moment, "utc")).toBe("2026-01-31 23:30:05 UTC");
  const local = formatMoment(moment, "local");
  const [day, clock, ...zone] = local.split(" ");
  const pad = (number: number) => String(number).padStart(2, "0");
  expect(day).toBe(`${moment.getFullYear()}-${pad(moment.getMonth() + 1)}-${pad(moment.getDate())}`);
  expect(clock).toBe(`${pad(moment.getHours())}:${pad(moment.getMinutes())}:05`);
  expect(zone.join(" ")).not.toBe("");
});

test("midnight is hour 00", () => {
  expect(formatMoment(new Date("2026-01-31T00:00:00Z"), "utc")).toBe("2026-01-31 00:00:00 UTC");
});

test.each(["2026-01-15T12:00:00Z", "2026-07-15T12:00:00Z", "2026-01-15T12:00:01Z"])(
  "%s has the name of its zone",
  (at) => {
    const parts = new Intl.DateTimeFormat("en-CA", { timeZoneName: "short" }).formatToParts(new Date(at));
    const name = parts.find(({ type }) => type === "timeZoneName")?.value ?? "";
    expect(formatMoment(new Date(at), "local").slice("2026-01-15 12:00:00 ".length)).toBe(name);
  },
);
