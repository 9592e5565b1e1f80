import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import type { Schemas } from "../../api/client";
import { ToastProvider } from "../../parts/ToastProvider";
import { SessionProvider } from "../../session/SessionProvider";
import { type Role, storeSession } from "../../session/session";
import { JobActions } from "./JobActions";

type Status = Schemas["JobStatus"];

async function renderAs(role: Role, status: Status) {
  storeSession({ token: "t", name: "olga", role, expiresAt: null });
  const job = { id: "0-a", status } as Schemas["JobDocument"];
  await act(async () =>
    render(
      <QueryClientProvider client={new QueryClient()}>
        <SessionProvider>
          <ToastProvider>
            <main id="content">
              <JobActions job={job} />
            </main>
          </ToastProvider>
        </SessionProvider>
      </QueryClientProvider>,
    ),
  );
}

function offered(): (string | null)[] {
  return screen.queryAllByRole("button").map((button) => button.textContent);
}

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  storeSession(null);
});

test.each([
  ["queued", ["Cancel this job"]],
  ["retrying", ["Cancel this job"]],
  ["failed", ["Replay", "Delete"]],
  ["running", []],
  ["succeeded", []],
  ["canceled", []],
] as const)("of a job that is %s an operator is offered %j", async (status, names) => {
  await renderAs("operator", status);
  expect(offered()).toEqual(names);
});

test.each(["queued", "failed"] as const)(
  "a viewer is offered nothing of a job that is %s, and told why",
  async (status) => {
    await renderAs("viewer", status);
    expect(offered()).toEqual([]);
    expect(screen.getByText(/^Your role viewer may look; an operator can /)).toBeTruthy();
  },
);

test("a job that was sent meanwhile is not canceled, and the dialog says so", async () => {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    asked.push(`${request.method} ${new URL(request.url).pathname}`);
    return Response.json(
      { title: "Conflict", detail: "The job can't be canceled: it has just been sent." },
      { status: 409 },
    );
  });
  await renderAs("operator", "queued");
  fireEvent.click(screen.getByRole("button", { name: "Cancel this job" }));
  await act(async () => fireEvent.click(screen.getByRole("button", { name: "Cancel the job" })));
  expect(asked).toEqual(["DELETE /v1/jobs/0-a"]);
  expect((await screen.findByRole("alert")).textContent).toContain("it has just been sent");
});
