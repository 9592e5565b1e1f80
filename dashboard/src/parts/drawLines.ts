import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Zone } from "../time/TimeZoneProvider";
import type { Lines } from "./gaps";

const HEIGHT_PX = 180;

/** How much time is shown at least, in seconds: a few samples shall not look like a long history. */
const SHORTEST_S = 60;

/** Draw lines into an element, as wide as that is. `lines`: the label and the colour variable of each. */
export function drawLines(element: HTMLElement, lines: readonly [string, string][], data: Lines, zone: Zone) {
  const resolved = (name: string) => () => resolvedColor(element, name);
  const chart = new uPlot(
    {
      width: element.clientWidth,
      height: HEIGHT_PX,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { range: (_, first, last) => [Math.min(first, last - SHORTEST_S), last] },
        y: { range: (_, _low, high) => [0, Math.max(high * 1.1, 1)] },
      },
      axes: [
        {
          stroke: resolved("--text-muted"),
          grid: { stroke: resolved("--border"), width: 1 },
          ticks: { show: false },
          space: 80,
          size: 32,
          values: (_, timesS) => timesS.map((timeS) => clockTime(timeS, zone)),
        },
        {
          stroke: resolved("--text-muted"),
          grid: { stroke: resolved("--border"), width: 1 },
          ticks: { show: false },
          size: 56,
        },
      ],
      series: [
        {},
        ...lines.map(([label, name]) => ({ label, stroke: resolved(name), width: 2, points: { show: false } })),
      ],
    },
    data,
    element,
  );
  const observer = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT_PX }));
  observer.observe(element);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => chart.redraw();
  scheme.addEventListener("change", redraw);
  return {
    setData: (changed: Lines) => chart.setData(changed),
    end: () => {
      observer.disconnect();
      scheme.removeEventListener("change", redraw);
      chart.destroy();
    },
  };
}

/** The time of day of a moment in Unix seconds: `15:04:05`. */
function clockTime(timeS: number, zone: Zone): string {
  const timeZone = zone === "utc" ? "UTC" : undefined;
  return new Date(timeS * 1000).toLocaleTimeString("en", { timeZone, hourCycle: "h23" });
}

/** The colour that a variable stands for in the present theme: a canvas knows no `light-dark()`. */
function resolvedColor(element: HTMLElement, name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  element.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}
