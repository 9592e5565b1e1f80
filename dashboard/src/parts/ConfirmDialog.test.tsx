import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { useState } from "react";
import { afterEach, expect, test, vi } from "vitest";
import { ConfirmDialog } from "./ConfirmDialog";

type Purge = { onConfirm: () => Promise<unknown>; typed?: string };

function Purging({ onConfirm, typed }: Purge) {
  const [open, setOpen] = useState(false);
  const close = () => setOpen(false);
  return (
    <main id="content" tabIndex={-1}>
      <button type="button" onClick={() => setOpen(true)}>
        Open
      </button>
      {open && (
        <ConfirmDialog title="Purge bob" action="Purge" danger typed={typed} onConfirm={onConfirm} onClose={close} />
      )}
    </main>
  );
}

function open(purge: Purge) {
  render(<Purging {...purge} />);
  const opener = screen.getByRole("button", { name: "Open" });
  opener.focus();
  fireEvent.click(opener);
}

afterEach(cleanup);

test("it is done once the text is typed, and then it closes", async () => {
  const onConfirm = vi.fn(async () => undefined);
  open({ onConfirm, typed: "bob" });
  const purge = screen.getByRole("button", { name: "Purge" }) as HTMLButtonElement;
  expect(purge.disabled).toBe(true);
  fireEvent.change(screen.getByLabelText("Type bob to confirm."), { target: { value: "bob" } });
  expect(purge.disabled).toBe(false);
  await act(async () => fireEvent.click(purge));
  expect(onConfirm).toHaveBeenCalledTimes(1);
  expect(screen.queryByRole("dialog")).toBeNull();
});

test("it stays with the reason where it could not be done, and can be tried again", async () => {
  const onConfirm = vi.fn().mockRejectedValueOnce(new Error("The store is away.")).mockResolvedValueOnce(undefined);
  open({ onConfirm });
  await act(async () => fireEvent.click(screen.getByRole("button", { name: "Purge" })));
  expect(screen.getByRole("alert").textContent).toMatch(/^Could not purge\. ?The store is away\./);
  await act(async () => fireEvent.click(screen.getByRole("button", { name: "Purge" })));
  expect(screen.queryByRole("dialog")).toBeNull();
});

test("what has been begun is not done twice, and is waited for", async () => {
  let finish = () => {};
  const onConfirm = vi.fn(() => new Promise<void>((resolve) => (finish = resolve)));
  open({ onConfirm });
  await act(async () => fireEvent.click(screen.getByRole("button", { name: "Purge" })));
  fireEvent.click(screen.getByRole("button", { name: "Working…" }));
  fireEvent.click(screen.getByRole("button", { name: "Leave it" }));
  fireEvent(screen.getByRole("dialog"), new Event("cancel", { cancelable: true }));
  expect(onConfirm).toHaveBeenCalledTimes(1);
  expect(screen.getByRole("dialog")).toBeTruthy();
  await act(async () => finish());
  expect(screen.queryByRole("dialog")).toBeNull();
});

test("it can be left by its button and by Escape without anything being done", () => {
  const onConfirm = vi.fn();
  open({ onConfirm });
  fireEvent.click(screen.getByRole("button", { name: "Leave it" }));
  expect(screen.queryByRole("dialog")).toBeNull();
  fireEvent.click(screen.getByRole("button", { name: "Open" }));
  fireEvent(screen.getByRole("dialog"), new Event("cancel", { cancelable: true }));
  expect(screen.queryByRole("dialog")).toBeNull();
  expect(onConfirm).not.toHaveBeenCalled();
});
