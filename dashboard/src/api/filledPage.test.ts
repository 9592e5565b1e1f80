import { expect, test, vi } from "vitest";
import { filledPage } from "./filledPage";

type Page = { rows: string[]; next: string | null };
const isEmpty = (page: Page) => page.rows.length === 0;

test("empty pages are passed over until one has rows", async () => {
  const pages: Record<string, Page> = {
    "": { rows: [], next: "a" },
    a: { rows: [], next: "b" },
    b: { rows: ["job"], next: "c" },
  };
  const found = await filledPage(async (after) => pages[after] as Page, isEmpty, "");
  expect(found).toEqual({ rows: ["job"], next: "c" });
});

test("the last page is the answer although it is empty", async () => {
  const ask = vi.fn(async (): Promise<Page> => ({ rows: [], next: null }));
  expect(await filledPage(ask, isEmpty, "")).toEqual({ rows: [], next: null });
  expect(ask).toHaveBeenCalledTimes(1);
});

test("the number of requests is bounded, and the cursor goes on behind them", async () => {
  const ask = vi.fn(async (after: string): Promise<Page> => ({ rows: [], next: `${after}x` }));
  expect(await filledPage(ask, isEmpty, "")).toEqual({ rows: [], next: "xxxxx" });
  expect(ask).toHaveBeenCalledTimes(5);
});
