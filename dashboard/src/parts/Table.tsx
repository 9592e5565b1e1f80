import { memo, type ReactNode } from "react";
import styles from "./Table.module.css";
import { TableHeading } from "./TableHeading";

/** A column: its heading, what it shows of a row, and whether it is a number, which stands at the right. */
export type Column<Row> = {
  name: string;
  heading: string;
  cell: (row: Row) => ReactNode;
  numeric?: boolean;
  /** Whether its texts are short words that are not broken. */
  unbroken?: boolean;
  /** The value of the parameter `sort` that sorts by this column, if one does. With `-` the greatest comes first. */
  sort?: string;
  /** Whether the server sorts by it in both directions; the other one has, or lacks, the `-`. */
  reversible?: boolean;
};

type TableProps<Row> = {
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  /** By which column the server sorts, and what to do when another heading is chosen. */
  sort?: string;
  onSort?: (sort: string) => void;
  /** What stands there when there are no rows. */
  empty: ReactNode;
};

/**
 * A table of one page of rows, which the server has selected and sorted. Below 700 px each row becomes a card whose
 * lines carry the headings, so that nothing has to be scrolled sideways.
 */
export function Table<Row>({ caption, columns, rows, keyOf, sort, onSort, empty }: TableProps<Row>) {
  if (rows.length === 0) {
    return <div className={styles.frame}>{empty}</div>;
  }
  return (
    <div className={styles.frame}>
      {/* Roles are repeated, because `display` of the narrow form takes them away. */}
      <table className={styles.table} role="table">
        <caption className={styles.caption}>{caption}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((column) => (
              <TableHeading key={column.name} column={column} sort={sort} onSort={onSort} />
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows.map((row) => (
            <TableRow key={keyOf(row)} row={row} columns={columns} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A row, which is rendered again only where it has changed: the others of a page that is renewed stay as they are. */
const TableRow = memo(function TableRow<Row>({ row, columns }: { row: Row; columns: readonly Column<Row>[] }) {
  return (
    <tr role="row">
      {columns.map((column) => (
        <td role="cell" key={column.name} className={classOf(column)} data-heading={column.heading}>
          <div className={styles.value}>{column.cell(row)}</div>
        </td>
      ))}
    </tr>
  );
}) as <Row>(props: { row: Row; columns: readonly Column<Row>[] }) => ReactNode;

function classOf<Row>({ numeric, unbroken }: Column<Row>): string | undefined {
  return numeric ? styles.numeric : unbroken ? styles.unbroken : undefined;
}
