import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, renderHook } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SessionProvider } from "../session/SessionProvider";
import { useDraft, useDrafts, useUnsaved } from "./useDraft";

function wrapper({ children }: { children: ReactNode }) {
  return (
    <QueryClientProvider client={new QueryClient()}>
      <SessionProvider>{children}</SessionProvider>
    </QueryClientProvider>
  );
}

/** A form with one field, on a page that was just loaded; `name` is who has signed in on the way. */
function aForm(name: string | null = null, isChanged = false) {
  const inner = () => ({ draft: useDraft<unknown>("field", "at first"), saved: useUnsaved(isChanged) });
  const hook = () => {
    const drafts = useDrafts();
    if (name !== null) {
      drafts.giveBack(name);
    }
    return { drafts, ...inner() };
  };
  return renderHook(hook, { wrapper }).result;
}

const KEPT = "penstock.drafts";

beforeEach(() => {
  sessionStorage.clear();
  history.replaceState(null, "", "/rules/new");
});
afterEach(() => {
  cleanup();
  history.replaceState(null, "", "/");
});

test.each([["a text"], [{ limit: 2n ** 60n, claims: [null, true] }], [null], [""], [false]])(
  "%o is there again, once, after a sign-in that has left the page",
  (typed) => {
    const before = aForm();
    act(() => before.current.draft[1](typed));
    before.current.drafts.keep("vera");
    cleanup();
    expect(aForm("vera").current.draft[0]).toEqual(typed);
    expect(sessionStorage.getItem(KEPT)).toBeNull();
    cleanup();
    expect(aForm("vera").current.draft[0]).toBe("at first");
  },
);

test("a form that is shown a second time is empty", () => {
  const before = aForm();
  act(() => before.current.draft[1]("typed"));
  before.current.drafts.keep("vera");
  cleanup();
  const { drafts } = aForm("vera").current;
  expect(drafts.returned("field")).toBeUndefined();
});

test("somebody else gets nothing, nor does another page, and the draft is forgotten", () => {
  for (const [name, path] of [
    ["otto", "/rules/new"],
    ["vera", "/rules/id/other/edit"],
  ] as const) {
    history.replaceState(null, "", "/rules/new");
    const before = aForm();
    act(() => before.current.draft[1]("typed"));
    before.current.drafts.keep("vera");
    cleanup();
    history.replaceState(null, "", path);
    expect(aForm(name).current.draft[0]).toBe("at first");
    expect(sessionStorage.getItem(KEPT)).toBeNull();
    cleanup();
  }
});

test.each(["", "{", "null", '{"name":1}', '{"name":"vera","path":"/rules/new","values":[]}'])(
  "%j in the place of drafts is nothing",
  (stored) => {
    sessionStorage.setItem(KEPT, stored);
    expect(aForm("vera").current.draft[0]).toBe("at first");
  },
);

test("a form that was changed is unsaved until it is saved or left", () => {
  const { drafts, saved } = aForm(null, true).current;
  expect(drafts.areUnsaved).toBe(true);
  saved();
  expect(drafts.areUnsaved).toBe(false);
  cleanup();
  const other = aForm(null, true).current.drafts;
  expect(other.areUnsaved).toBe(true);
  cleanup();
  expect(other.areUnsaved).toBe(false);
});

test("nothing is asked while the page is left for a sign-in, and again once the browser has come back to it", () => {
  const { drafts } = aForm(null, true).current;
  drafts.keep("vera");
  expect(drafts.areUnsaved).toBe(false);
  drafts.resume();
  expect(drafts.areUnsaved).toBe(true);
});
