import { act, cleanup, renderHook } from "@testing-library/react";
import { afterEach, beforeEach, expect, test } from "vitest";
import { queryOf, useFilters } from "./filters";

beforeEach(() => history.replaceState(null, "", "/jobs?status=failed"));
afterEach(cleanup);

test("filters are those of the address, and empty ones are left out", () => {
  const { result } = renderHook(useFilters);
  expect(result.current[0]).toEqual({ status: "failed" });
  act(() => result.current[1]({ status: "", rule_id: "a&b" }));
  expect(location.search).toBe("?rule_id=a%26b");
  expect(result.current[0]).toEqual({ rule_id: "a&b" });
});

test("of two changes in one tick none is lost", () => {
  const { result } = renderHook(useFilters);
  act(() => {
    result.current[1]({ rule_id: "a" });
    result.current[1]({ owner: "b" });
  });
  expect(result.current[0]).toEqual({ status: "failed", rule_id: "a", owner: "b" });
});

test("a filter replaces the entry of the history, and a page is a new one with the way to it", () => {
  const { result } = renderHook(useFilters);
  const entries = history.length;
  act(() => result.current[1]({ rule_id: "a", after: "" }));
  expect(history.length).toBe(entries);
  act(() => result.current[1]({ after: "c1" }));
  act(() => result.current[1]({ after: "c2" }));
  expect(history.length).toBe(entries + 2);
  expect(history.state).toEqual({ trail: ["", "c1"] });
  act(() => result.current[1]({ rule_id: "b", after: "" }));
  expect([location.search, history.state]).toEqual(["?status=failed&rule_id=b", null]);
});

test("an address without filters has no question mark", () => {
  expect([queryOf({}), queryOf({ a: "" }), queryOf({ a: "ü ?" })]).toEqual(["", "", "?a=%C3%BC+%3F"]);
});
