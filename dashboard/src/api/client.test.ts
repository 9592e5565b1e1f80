import { expect, test } from "vitest";
import { problemOf } from "./client";

test("a problem has its members without loss, such as the versions of a rule", async () => {
  const body = '{"title":"Precondition Failed","detail":"It has changed.","current":{"tenant":9007199254740993}}';
  const problem = await problemOf(new Response(body, { status: 412 }));
  expect(problem.status).toBe(412);
  expect(problem.detail).toBe("It has changed.");
  expect(problem.body.current).toEqual({ tenant: 9007199254740993n });
});

test("an answer that is no problem document is told by its status", async () => {
  const problem = await problemOf(new Response("<html>", { status: 502 }));
  expect(problem.message).toBe("The admin API answered 502");
});
