import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SessionProvider } from "../session/SessionProvider";
import { type Role, storeSession } from "../session/session";
import { Requires } from "./Requires";

function renderAs(role: Role) {
  storeSession({ token: "t", name: "vera", role, expiresAt: null });
  render(
    <QueryClientProvider client={new QueryClient()}>
      <SessionProvider>
        <Requires role="operator" to="pause this flow">
          <button type="button">Pause</button>
        </Requires>
      </SessionProvider>
    </QueryClientProvider>,
  );
}

beforeEach(() => sessionStorage.clear());
afterEach(cleanup);

test("a viewer is not offered what needs an operator, and is told why", () => {
  renderAs("viewer");
  expect(screen.queryByRole("button")).toBeNull();
  expect(screen.getByText("Your role viewer may look; an operator can pause this flow.")).toBeTruthy();
});

test.each(["operator", "admin"] as const)("the role %s is offered what needs an operator", (role) => {
  renderAs(role);
  expect(screen.getByRole("button", { name: "Pause" })).toBeTruthy();
  expect(screen.queryByText(/may look/)).toBeNull();
});
