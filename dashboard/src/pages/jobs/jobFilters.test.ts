import { expect, test } from "vitest";
import { cancellationOf, jobIdIn, queryOfJobs } from "./jobFilters";

test("without filters all jobs are asked for", () => {
  expect(queryOfJobs({})).toEqual({ limit: 50 });
});

test("filters are asked for under their names, and a group of statuses as what it stands for", () => {
  const filters = { rule_id: "a", status: "waiting", response_status: "503", submitted_after: "2026-03-01T09:00:00Z" };
  expect(queryOfJobs(filters)).toEqual({
    limit: 50,
    rule_id: "a",
    status: ["queued", "retrying"],
    response_status: 503,
    submitted_after: "2026-03-01T09:00:00Z",
  });
});

test("an owner goes before a subject, because the API takes one of them", () => {
  expect(queryOfJobs({ owner: "0a", subject: "alice" })).toEqual({ limit: 50, owner: "0a" });
});

test("a cancellation is about what the view is about", () => {
  const filters = {
    rule_id: "a",
    descriptor: "user:x",
    flow: "Zg",
    submitted_before: "2026-03-01T09:00:00Z",
    after: "c",
  };
  expect(cancellationOf(filters, "0a")).toEqual({
    filter: { rule_id: "a", descriptor: "user:x", flow: "Zg", submitted_before: "2026-03-01T09:00:00Z" },
  });
  expect(cancellationOf({ subject: "alice" }, "0a")).toEqual({ filter: { owner: "0a" } });
});

test.each([
  [{}, null],
  [{ submitted_after: "2026-03-01T09:00:00Z" }, "0a"],
  [{ subject: "alice" }, undefined],
  [{ rule_id: "a", status: "queued" }, null],
  [{ rule_id: "a", status: "failed" }, null],
  [{ rule_id: "a", response_status: "200" }, null],
  [{ rule_id: "a", finished_after: "2026-03-01T09:00:00Z" }, null],
])("a cancellation that would find other jobs than the view is not offered: %o", (filters: object, owner) => {
  expect(cancellationOf(filters as Record<string, string>, owner)).toHaveProperty("why");
});

test.each([
  ["0-ximhmL2brKMnykUkMrQ1uA", "0-ximhmL2brKMnykUkMrQ1uA"],
  ["  0-ximhmL2brKMnykUkMrQ1uA\n", "0-ximhmL2brKMnykUkMrQ1uA"],
  ["https://api.example.com/_penstock/jobs/1f-ximhmL2brKMnykUkMrQ1uA/response", "1f-ximhmL2brKMnykUkMrQ1uA"],
  ["nonsense ", "nonsense"],
])("the id of a job is found in %j", (text, id) => {
  expect(jobIdIn(text)).toBe(id);
});
