import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { SessionProvider } from "../../session/SessionProvider";
import { type Role, storeSession } from "../../session/session";
import { TimeZoneProvider } from "../../time/TimeZoneProvider";
import type { Letter } from "./columns";
import { Letters } from "./Letters";

function letter(id: string): Letter {
  const error = { code: "expired", message: "" };
  return { id, rule_id: "r", descriptor: "user:u", failed_at: null, attempts: 1, error, response_status: null };
}

function page(ids: readonly string[]) {
  return (
    <QueryClientProvider client={new QueryClient()}>
      <SessionProvider>
        <TimeZoneProvider>
          <Letters letters={ids.map(letter)} onDone={() => undefined} empty="none" />
        </TimeZoneProvider>
      </SessionProvider>
    </QueryClientProvider>
  );
}

function renderAs(role: Role, ids: readonly string[]) {
  storeSession({ token: "t", name: "vera", role, expiresAt: null });
  return render(page(ids));
}

afterEach(() => {
  cleanup();
  storeSession(null);
});

test("what is checked stays checked while others come, and is not meant any more once it has gone", () => {
  const { rerender } = renderAs("operator", ["a", "b"]);
  fireEvent.click(screen.getByLabelText("Check a"));
  fireEvent.click(screen.getByLabelText("Check b"));
  expect(screen.getByRole("button", { name: "Replay 2 checked…" })).toBeTruthy();
  rerender(page(["c", "a"]));
  expect((screen.getByLabelText("Check a") as HTMLInputElement).checked).toBe(true);
  expect((screen.getByLabelText("Check c") as HTMLInputElement).checked).toBe(false);
  expect(screen.getByRole("button", { name: "Delete 1 checked…" })).toBeTruthy();
});

test("all of a page are checked at once, and none again", () => {
  renderAs("operator", ["a", "b", "c"]);
  const all = screen.getByLabelText("Check all 3 on this page");
  fireEvent.click(all);
  expect(screen.getByRole("button", { name: "Replay 3 checked…" })).toBeTruthy();
  fireEvent.click(screen.getByLabelText("Check b"));
  expect((all as HTMLInputElement).checked).toBe(false);
  fireEvent.click(all);
  fireEvent.click(all);
  expect((screen.getByRole("button", { name: "Replay 0 checked…" }) as HTMLButtonElement).disabled).toBe(true);
});

test("a viewer has nothing to check", () => {
  renderAs("viewer", ["a"]);
  expect(screen.queryByRole("checkbox")).toBeNull();
  expect(screen.queryByRole("button")).toBeNull();
  expect(screen.getByText("it waited too long", { exact: false })).toBeTruthy();
});
