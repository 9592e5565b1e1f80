import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, renderHook } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SessionProvider, useApi, useMay, useSession } from "./SessionProvider";
import { includes, ROLES, storedSession, storeSession } from "./session";

const queries = new QueryClient();

function wrapper({ children }: { children: ReactNode }) {
  return (
    <QueryClientProvider client={queries}>
      <SessionProvider>{children}</SessionProvider>
    </QueryClientProvider>
  );
}

function renderSession() {
  const hook = () => ({ session: useSession(), api: useApi(), mayOperate: useMay("operator") });
  return renderHook(hook, { wrapper }).result;
}

/** The admin API: it knows the tokens `vera` and `olga`. */
async function adminApi(request: Request): Promise<Response> {
  const name = request.headers.get("Authorization")?.replace("Bearer ", "") ?? "";
  const role = { vera: "viewer", olga: "operator" }[name];
  return role === undefined
    ? Response.json({ title: "Unauthorized", detail: "The token is not valid." }, { status: 401 })
    : Response.json({ name, role, expires_at: null });
}

beforeEach(() => {
  sessionStorage.clear();
  queries.clear();
  vi.stubGlobal("fetch", adminApi);
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

test("each role includes those before it", () => {
  const table = ROLES.map((role) => ROLES.map((required) => includes(role, required)));
  expect(table).toEqual([
    [true, false, false],
    [true, true, false],
    [true, true, true],
  ]);
});

test("who signs in is known until the tab is closed, and what another operator saw is forgotten", async () => {
  const result = renderSession();
  queries.setQueryData(["jobs"], "of another");
  await act(() => result.current.session.signIn("olga"));
  expect(result.current.session.session).toMatchObject({ name: "olga", role: "operator", token: "olga" });
  expect([result.current.mayOperate, queries.getQueryData(["jobs"])]).toEqual([true, undefined]);
  expect(storedSession()?.token).toBe("olga");
});

test("a token that is refused signs nobody in", async () => {
  const result = renderSession();
  await act(() => expect(result.current.session.signIn("bad")).rejects.toMatchObject({ status: 401 }));
  expect([result.current.session.session, storedSession()]).toEqual([null, null]);
});

test("an answer 401 ends the session, and who goes on by another token keeps what was asked", async () => {
  storeSession({ token: "expired", name: "vera", role: "viewer", expiresAt: null });
  const result = renderSession();
  await act(() => expect(result.current.api.GET("/v1/status")).rejects.toMatchObject({ status: 401 }));
  expect([result.current.session.hasEnded, storedSession()]).toEqual([true, null]);
  expect([result.current.session.session?.name, result.current.session.visit]).toEqual(["vera", 0]);
  queries.setQueryData(["jobs"], "of vera");
  await act(() => result.current.session.signIn("vera"));
  expect([result.current.session.hasEnded, storedSession()?.token]).toEqual([false, "vera"]);
  expect([result.current.session.visit, queries.getQueryData(["jobs"])]).toEqual([0, "of vera"]);
});

test.each([
  ["somebody else", { name: "otto", role: "operator" }],
  ["the same person with a lower role", { name: "olga", role: "admin" }],
] as const)("%s who signs in after the end of a session begins anew", async (_, before) => {
  storeSession({ token: "expired", expiresAt: null, ...before });
  const result = renderSession();
  act(() => result.current.session.endSession("expired"));
  queries.setQueryData(["jobs"], "of another");
  await act(() => result.current.session.signIn("olga"));
  expect([result.current.session.session?.role, result.current.session.visit]).toEqual(["operator", 1]);
  expect(queries.getQueryData(["jobs"])).toBeUndefined();
});

test("who signs out after the end of a session leaves nothing", async () => {
  storeSession({ token: "expired", name: "vera", role: "viewer", expiresAt: null });
  const result = renderSession();
  act(() => result.current.session.endSession("expired"));
  act(() => result.current.session.signOut());
  expect([result.current.session.session, result.current.session.hasEnded]).toEqual([null, false]);
  expect(sessionStorage).toHaveLength(0);
});

test("a late refusal of an earlier token does not end the session that has begun since", async () => {
  storeSession({ token: "expired", name: "vera", role: "viewer", expiresAt: null });
  const result = renderSession();
  const earlier = result.current.api;
  await act(() => result.current.session.signIn("olga"));
  await act(() => expect(earlier.GET("/v1/status")).rejects.toMatchObject({ status: 401 }));
  expect(result.current.session.session?.name).toBe("olga");
});

test.each(["", "null", "{", '{"token":1}', '{"token":"t","name":"n","role":"root"}'])("%j is no session", (stored) => {
  sessionStorage.setItem("penstock.session", stored);
  expect(storedSession()).toBeNull();
});
