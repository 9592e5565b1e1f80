import { useEffect, useId, useRef, useState } from "react";
import { formatMoment } from "../time/format";
import { useTime } from "../time/TimeZoneProvider";
import { type Lines, withGaps } from "./gaps";
import styles from "./LineChart.module.css";

/** A line of a chart. `values` are as long as the times; null leaves a gap. */
export type Series = { label: string; color: string; values: readonly (number | null)[] };

type LineChartProps = {
  title: string;
  /** Unix seconds, rising. */
  timesS: readonly number[];
  series: readonly Series[];
  format: (value: number | null) => string;
};

/** Lines over time. Their last values stand beside it, and all of them in a table for those who do not see it. */
export function LineChart(props: LineChartProps) {
  const titleId = useId();
  const [asTable, setAsTable] = useState(false);
  const { title, series, format } = props;
  return (
    <figure className={styles.figure} aria-labelledby={titleId}>
      <figcaption className={styles.head}>
        <strong id={titleId}>{title}</strong>
        <button type="button" className={styles.toggle} onClick={() => setAsTable(!asTable)}>
          {asTable ? "Show the chart" : "Show as a table"}
        </button>
      </figcaption>
      <ul className={styles.legend}>
        {series.map((one) => (
          <li key={one.label}>
            <Swatch color={one.color} /> {one.label} <strong>{format(one.values.at(-1) ?? null)}</strong>
          </li>
        ))}
      </ul>
      {asTable ? <SeriesTable {...props} /> : <Canvas {...props} />}
    </figure>
  );
}

function Swatch({ color }: { color: string }) {
  return (
    <svg width="12" height="12" aria-hidden="true" className={styles.swatch}>
      <rect width="12" height="12" rx="2" fill={`var(${color})`} />
    </svg>
  );
}

/** How far two samples may be apart, in seconds, before there is a gap between them. */
const LONGEST_S = 5;

function Canvas({ timesS, series }: LineChartProps) {
  const { zone } = useTime();
  const frame = useRef<HTMLDivElement>(null);
  const data = useRef<Lines>([[]]);
  const chart = useRef<{ setData: (data: Lines) => void } | null>(null);
  data.current = withGaps([[...timesS], ...series.map((one) => [...one.values])], LONGEST_S);
  const names = series.map((one) => `${one.label}|${one.color}`).join();
  useEffect(() => {
    const element = frame.current;
    if (element === null) {
      return;
    }
    let end = () => {};
    let ended = false;
    // The library is loaded once a chart is shown, so that the other pages start without it.
    void import("./drawLines").then(({ drawLines }) => {
      if (!ended) {
        const lines = names.split(",").map((one) => one.split("|") as [string, string]);
        const drawn = drawLines(element, lines, data.current, zone);
        chart.current = drawn;
        end = drawn.end;
      }
    });
    return () => {
      ended = true;
      chart.current = null;
      end();
    };
  }, [names, zone]);
  useEffect(() => {
    chart.current?.setData(data.current);
  });
  return <div ref={frame} className={styles.canvas} aria-hidden="true" />;
}

/** How many rows the table has at most: the latest. */
const TABLE_ROWS = 30;

function SeriesTable({ title, timesS, series, format }: LineChartProps) {
  const { zone } = useTime();
  const first = Math.max(0, timesS.length - TABLE_ROWS);
  const rows = timesS.slice(first).map((timeS, at) => ({ timeS, at: first + at }));
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
    <section className={styles.tableFrame} tabIndex={0} aria-label={`${title}, as a table`}>
      <table>
        <thead>
          <tr>
            <th scope="col">at</th>
            {series.map((one) => (
              <th scope="col" key={one.label}>
                {one.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.reverse().map(({ timeS, at }) => (
            <tr key={timeS}>
              <th scope="row">{formatMoment(new Date(timeS * 1000), zone)}</th>
              {series.map((one) => (
                <td key={one.label}>{format(one.values[at] ?? null)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
