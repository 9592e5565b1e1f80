import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SessionProvider } from "../../session/SessionProvider";
import { storeSession } from "../../session/session";
import { OperationDialog } from "./OperationDialog";

const asked: { dry_run: boolean; rate_per_s: number }[] = [];

/** The admin API, which finds `found` dead letters, and refuses with `problem` what is no dry run. */
function stubApi(found: number, problem?: string) {
  vi.stubGlobal("fetch", async (request: Request) => {
    const body = (await request.json()) as (typeof asked)[number];
    asked.push(body);
    const total = { at_least: found, estimate: found, is_exact: true };
    const refused = !body.dry_run && problem !== undefined;
    const answer = refused
      ? { title: "Conflict", detail: problem }
      : { ...(body.dry_run ? {} : { id: "op-1" }), total };
    return Response.json(answer, { status: refused ? 409 : body.dry_run ? 200 : 202 });
  });
}

async function open() {
  storeSession({ token: "t", name: "olga", role: "operator", expiresAt: null });
  const onClose = vi.fn();
  await act(async () =>
    render(
      <QueryClientProvider client={new QueryClient()}>
        <SessionProvider>
          <main id="content">
            <OperationDialog
              wanted={{ kind: "delete_dead_letters", filter: { rule_id: "a" } as never }}
              action="Delete them"
              typed="delete"
              consequence="They are gone."
              onClose={onClose}
            />
          </main>
        </SessionProvider>
      </QueryClientProvider>,
    ),
  );
  return onClose;
}

const confirm = () => screen.getByRole("button", { name: "Delete them" }) as HTMLButtonElement;
const type = (word: string) =>
  fireEvent.change(screen.getByLabelText("Type delete to confirm."), { target: { value: word } });

beforeEach(() => {
  asked.length = 0;
  history.replaceState(null, "", "/");
});

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  storeSession(null);
});

test("it counts first, and starts the operation at the rate that is wanted", async () => {
  stubApi(17);
  const onClose = await open();
  expect(await screen.findByText("17 dead letters would be deleted.")).toBeTruthy();
  expect(asked.map((one) => one.dry_run)).toEqual([true]);
  fireEvent.change(screen.getByLabelText("At most so many a second:"), { target: { value: "7" } });
  type("delete");
  await act(async () => fireEvent.click(confirm()));
  await vi.waitFor(() => expect(onClose).toHaveBeenCalled(), 30_000);
  expect(asked.at(-1)).toMatchObject({ dry_run: false, rate_per_s: 7, filter: { rule_id: "a" } });
  expect(location.pathname).toBe("/operations/op-1");
});

test("where nothing matches nothing is started", async () => {
  stubApi(0);
  await open();
  expect(await screen.findByText("No dead letter matches, so nothing would be deleted.")).toBeTruthy();
  type("delete");
  expect(confirm().disabled).toBe(true);
});

test("why it cannot be started stands in the dialog", async () => {
  stubApi(2, "The same operation is under way.");
  const onClose = await open();
  await screen.findByText("2 dead letters would be deleted.");
  type("delete");
  await act(async () => fireEvent.click(confirm()));
  expect((await screen.findByRole("alert")).textContent).toContain("The same operation is under way.");
  expect(onClose).not.toHaveBeenCalled();
  expect(location.pathname).toBe("/");
});
