import { afterEach, expect, test, vi } from "vitest";
import { bodyOf, createApi, problemOf } from "./client";

afterEach(() => vi.unstubAllGlobals());

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

test.each([
  ["its length is known", { "Content-Length": "40" }],
  ["a proxy has compressed it", {}],
])("an answer is read without loss where %s", async (_, headers: Record<string, string>) => {
  const body = '{"rules":[{"version":5,"tenant":9007199254740993}],"next":null}';
  const answer = () => new Response(body, { headers: { "Content-Type": "application/json", ...headers } });
  vi.stubGlobal("fetch", async () => answer());
  const page = await bodyOf(createApi(null).GET("/v1/rules"));
  expect(page.rules[0]).toEqual({ version: 5, tenant: 9007199254740993n });
});

test("an answer without a body is nothing", async () => {
  vi.stubGlobal("fetch", async () => new Response(null, { status: 204 }));
  const path = { rule_id: "a" };
  expect(await bodyOf(createApi(null).DELETE("/v1/rules/{rule_id}", { params: { path } }))).toBeUndefined();
});
