import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { ToastProvider } from "../../parts/ToastProvider";
import { Body } from "./Body";
import { SHOWN_CHARACTERS } from "./bodies";

function renderBody(text: string | null, bytes = text ?? "") {
  const stored = { body: btoa(bytes), body_text: text, headers: [["content-type", "a/b"]] as const };
  render(
    <ToastProvider>
      <Body stored={stored} of="request" />
    </ToastProvider>,
  );
}

function shown(): string | null {
  return screen.getByRole("region", { name: "Body of the request" }).textContent;
}

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

test("JSON is indented without loss, and shown as it came when that is wanted", () => {
  const text = '{"n":12345678901234567890.10,"n":1}';
  renderBody(text);
  expect(shown()).toBe('{\n  "n": 12345678901234567890.10,\n  "n": 1\n}');
  fireEvent.click(screen.getByRole("button", { name: "As it came" }));
  expect(shown()).toBe(text);
});

test("markup is text", () => {
  renderBody("<img src=x><script>1</script>");
  expect(shown()).toBe("<img src=x><script>1</script>");
  expect(document.querySelector("img, script")).toBeNull();
  expect(screen.queryByRole("button", { name: "As it came" })).toBeNull();
});

test("of a large body the beginning is shown, with its size, until all of it is wanted", () => {
  const text = "x".repeat(SHOWN_CHARACTERS + 1);
  renderBody(text);
  expect(shown()).toHaveLength(SHOWN_CHARACTERS);
  expect(screen.getByText(/^Shown: the first 100\s000 of 100\s001 characters\.$/)).toBeTruthy();
  fireEvent.click(screen.getByRole("button", { name: "Show all of it" }));
  expect(shown()).toBe(text);
});

test("what is no text is said to be shown in base64", () => {
  renderBody(null, "\u0000\u0001");
  expect(screen.getByText("Body: 2 B, a/b, not text, shown in base64")).toBeTruthy();
  expect(shown()).toBe("AAE=");
});

test("the whole body is copied, and where the browser does not let it be that is said", async () => {
  const text = `{"a":"${"x".repeat(SHOWN_CHARACTERS)}"}`;
  const writeText = vi.fn().mockResolvedValueOnce(undefined).mockRejectedValueOnce(new Error("no"));
  vi.stubGlobal("navigator", { clipboard: { writeText } });
  renderBody(text);
  const copy = screen.getByRole("button", { name: "Copy the body of the request" });
  fireEvent.click(copy);
  expect(await screen.findByText("Copied the body of the request.")).toBeTruthy();
  expect(writeText).toHaveBeenCalledWith(text);
  fireEvent.click(copy);
  expect(await screen.findByText(/does not let this page copy/)).toBeTruthy();
});
