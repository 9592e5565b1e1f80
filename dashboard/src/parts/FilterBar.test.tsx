import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { TextFilter } from "./FilterBar";

const field = () => screen.getByLabelText("Rule") as HTMLInputElement;
const type = (value: string) => fireEvent.change(field(), { target: { value } });
const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));

beforeEach(() => vi.useFakeTimers());
afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

function renderFilter(value = "") {
  const onChange = vi.fn<(value: string) => void>();
  const show = (shown: string) => <TextFilter label="Rule" value={shown} onChange={(text) => onChange(text)} />;
  const { rerender } = render(show(value));
  return { onChange, show: (shown: string) => rerender(show(shown)) };
}

test("a filter is applied once typing stops, however often the page is renewed meanwhile", async () => {
  const { onChange, show } = renderFilter();
  type("a");
  await pass(200);
  type("ab");
  await pass(200);
  show("");
  await pass(150);
  expect(onChange.mock.calls).toEqual([["ab"]]);
});

test.each([
  ["Enter", () => fireEvent.keyDown(field(), { key: "Enter" })],
  ["leaving the field", () => fireEvent.blur(field())],
])("%s applies it at once, and only once", async (_, end) => {
  const { onChange } = renderFilter();
  type("ab");
  end();
  expect(onChange.mock.calls).toEqual([["ab"]]);
  await pass(1000);
  expect(onChange.mock.calls).toEqual([["ab"]]);
});

test("what has been typed since is not replaced by the value that comes back", async () => {
  const { onChange, show } = renderFilter();
  type("ab");
  await pass(300);
  type("abc");
  show("ab");
  expect(field().value).toBe("abc");
  await pass(300);
  expect(onChange.mock.calls).toEqual([["ab"], ["abc"]]);
});

test("a value that comes from the address is shown", () => {
  const { onChange, show } = renderFilter("a");
  show("from a link");
  expect(field().value).toBe("from a link");
  expect(onChange).not.toHaveBeenCalled();
});
