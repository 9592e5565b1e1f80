import { expect, test } from "vitest";
import { problemOf } from "./client";
import { ApiProblem, messageOf } from "./problem";

test("problem details are read with all their members", async () => {
  const body = {
    type: "about:blank",
    title: "Precondition Failed",
    status: 412,
    detail: "It has changed.",
    current: {},
  };
  const problem = await problemOf(new Response(JSON.stringify(body), { status: 412 }));
  expect([problem.status, problem.title, problem.detail]).toEqual([412, "Precondition Failed", "It has changed."]);
  expect(problem.body.current).toEqual({});
  expect(messageOf(problem)).toBe("It has changed.");
});

test.each([
  ["a page of a proxy", "<html>", 502],
  ["nothing", "", 503],
  ["JSON that is no object", "[1]", 500],
  ["members of another type", '{"title":1,"detail":{}}', 500],
])("%s is told by its status", async (_, body, status) => {
  const problem = await problemOf(new Response(body, { status }));
  expect(problem).toBeInstanceOf(ApiProblem);
  expect(messageOf(problem)).toBe(`The admin API answered ${status}`);
});
