import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test } from "vitest";
import { useFilters } from "../urls/filters";
import { Pager } from "./Pager";

/** A list of three pages, whose cursors are 1 and 2. */
function ThreePages() {
  const [{ after = "" }, change] = useFilters();
  const next = after === "2" ? null : String(Number(after) + 1);
  return <Pager after={after} next={next} onPage={(page) => change({ after: page })} />;
}

const press = (name: string) => fireEvent.click(screen.getByRole("button", { name }));

beforeEach(() => history.replaceState(null, "", "/jobs"));
afterEach(cleanup);

test("forward to the last page and back by the same way", () => {
  render(<ThreePages />);
  press("Next page");
  press("Next page");
  expect(location.search).toBe("?after=2");
  press("Next page"); // there is none, and the button keeps the focus
  expect(location.search).toBe("?after=2");
  press("Previous page");
  expect(location.search).toBe("?after=1");
  press("Previous page");
  expect(location.search).toBe("");
});

test("after a reload the previous page is still known", () => {
  render(<ThreePages />);
  press("Next page");
  press("Next page");
  cleanup();
  render(<ThreePages />);
  press("Previous page");
  expect(location.search).toBe("?after=1");
});

test("an address that was sent leads back to the first page", () => {
  history.replaceState(null, "", "/jobs?after=2");
  render(<ThreePages />);
  press("First page");
  expect(location.search).toBe("");
});

test("a list of one page has no pager", () => {
  render(<Pager after="" next={null} onPage={() => undefined} />);
  expect(screen.queryByRole("navigation")).toBeNull();
});
