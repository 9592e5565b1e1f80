import { expect, test } from "vitest";
import { wantedLetters } from "./letterFilters";

test("an address without filters means all dead letters", () => {
  expect(wantedLetters({ after: "0-1" })).toEqual({});
});

test("filters have the names of the API, and a status is a number", () => {
  const filters = { rule_id: "a", descriptor: "user:x", code: "expired", failed_after: "2026-03-01T09:00:00Z" };
  expect(wantedLetters({ ...filters, response_status: "503", other: "x", failed_before: "" })).toEqual({
    ...filters,
    response_status: 503,
  });
});
