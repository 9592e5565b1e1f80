import type { Column } from "./Table";
import styles from "./Table.module.css";

type TableHeadingProps<Row> = { column: Column<Row>; sort?: string; onSort?: (sort: string) => void };

/** The heading of a column; a button where the server can sort by the column. */
export function TableHeading<Row>({ column, sort, onSort }: TableHeadingProps<Row>) {
  const by = column.sort;
  const className = column.numeric ? styles.numeric : "";
  if (by === undefined || onSort === undefined) {
    return (
      <th role="columnheader" scope="col" className={`${className} ${styles.unsorted}`}>
        {column.heading}
      </th>
    );
  }
  const direction = column.reversible ? directionOf(sort, by) : sort === by ? "other" : "none";
  return (
    <th role="columnheader" scope="col" className={className} aria-sort={direction}>
      <button
        type="button"
        className={styles.sort}
        onClick={() => onSort(column.reversible && sort === by ? reversed(by) : by)}
      >
        {column.heading}
        <span aria-hidden="true"> {SIGNS[direction]}</span>
      </button>
    </th>
  );
}

const SIGNS = { ascending: "▲", descending: "▼", other: "●", none: "○" };

function directionOf(sort: string | undefined, by: string) {
  if (sort !== by && sort !== reversed(by)) {
    return "none";
  }
  return sort.startsWith("-") ? "descending" : "ascending";
}

function reversed(sort: string): string {
  return sort.startsWith("-") ? sort.slice(1) : `-${sort}`;
}
