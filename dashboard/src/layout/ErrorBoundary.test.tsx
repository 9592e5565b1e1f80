import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { ErrorBoundary } from "./ErrorBoundary";

afterEach(cleanup);

function Part({ state }: { state: { broken: boolean } }) {
  if (state.broken) {
    throw new Error("a member is missing");
  }
  return <p>shown</p>;
}

test("a mistake in one part is told, takes no other part away, and can be tried again", () => {
  vi.spyOn(console, "error").mockImplementation(() => undefined); // React tells of it there, too
  const state = { broken: true };
  render(
    <>
      <ErrorBoundary what="This page">
        <Part state={state} />
      </ErrorBoundary>
      <p>another part</p>
    </>,
  );
  expect(screen.getByRole("alert").textContent).toContain("This page cannot be shown.");
  expect(screen.getByText("another part")).toBeTruthy();
  state.broken = false;
  fireEvent.click(screen.getByRole("button", { name: "Try again" }));
  expect(screen.getByText("shown")).toBeTruthy();
});
