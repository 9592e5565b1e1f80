import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { type Column, Table } from "./Table";

type Flow = { id: string; depth: number };

const COLUMNS: readonly Column<Flow>[] = [
  { name: "id", heading: "Flow", sort: "id", reversible: true, cell: (flow) => flow.id },
  { name: "depth", heading: "Depth", sort: "depth", numeric: true, cell: (flow) => flow.depth },
  { name: "note", heading: "Note", cell: () => "–" },
];
const FLOWS: readonly Flow[] = [
  { id: "<b>a</b>", depth: 2 },
  { id: "b", depth: 1 },
];

function renderTable(rows: readonly Flow[], sort = "id", onSort = vi.fn()) {
  const keyOf = (flow: Flow) => flow.id;
  render(
    <Table
      caption="Flows"
      columns={COLUMNS}
      rows={rows}
      keyOf={keyOf}
      sort={sort}
      onSort={onSort}
      empty={<p>None.</p>}
    />,
  );
  return onSort;
}

afterEach(cleanup);

test("rows stand under named headings, in the order of the server, and what callers sent is text", () => {
  renderTable(FLOWS);
  const table = screen.getByRole("table", { name: "Flows" });
  const [, first, second] = within(table).getAllByRole("row");
  expect(within(first as HTMLElement).getAllByRole("cell")[0]?.textContent).toContain("<b>a</b>");
  expect(within(second as HTMLElement).getAllByRole("cell")[1]?.textContent).toContain("1");
  expect(
    within(table)
      .getAllByRole("columnheader")
      .map((heading) => heading.textContent),
  ).toEqual(["Flow ▲", "Depth ○", "Note"]);
});

test.each([
  ["id", "Flow", "-id", "ascending"],
  ["-id", "Flow", "id", "descending"],
  ["depth", "Flow", "id", "none"],
  ["depth", "Depth", "depth", "other"],
  ["id", "Depth", "depth", "none"],
])("sorted by %s, the heading %s sorts by %s", (sort, heading, wanted, direction) => {
  const onSort = renderTable(FLOWS, sort);
  const cell = screen.getByRole("columnheader", { name: new RegExp(heading) });
  expect(cell.getAttribute("aria-sort")).toBe(direction);
  fireEvent.click(within(cell).getByRole("button"));
  expect(onSort).toHaveBeenCalledWith(wanted);
});

test("without rows it says why", () => {
  renderTable([]);
  expect(screen.queryByRole("table")).toBeNull();
  expect(screen.getByText("None.")).toBeTruthy();
});
