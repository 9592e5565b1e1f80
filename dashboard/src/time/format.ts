import type { Zone } from "./TimeZoneProvider";

const UNITS: [string, number][] = [
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
];

/** A stretch of time in at most two units: `3 d 4 h`, `12 min`, `1.5 s`, `20 ms`. */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) {
    return shortDuration(seconds);
  }
  const at = UNITS.findIndex(([, size]) => whole >= size);
  const [unit, size] = UNITS[at] ?? ["min", 60];
  const [next, nextSize] = UNITS[at + 1] ?? ["s", 1];
  const rest = Math.floor((whole % size) / nextSize);
  return `${Math.floor(whole / size)} ${unit}${rest > 0 ? ` ${rest} ${next}` : ""}`;
}

function shortDuration(seconds: number): string {
  if (seconds > 0 && seconds < 0.9995) {
    return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  }
  return `${Number(seconds.toFixed(seconds < 9.95 ? 1 : 0))} s`;
}

/** How far a moment is from now, without seconds once it is a minute: `12 s ago`, `in 3 min`, `2 h 5 min ago`, `now`. */
export function formatRelative(atMs: number, nowMs: number): string {
  const seconds = Math.round(Math.abs(nowMs - atMs) / 1000);
  if (seconds < 1) {
    return "now";
  }
  const far = formatDuration(seconds < 60 ? seconds : Math.floor(seconds / 60) * 60);
  return nowMs > atMs ? `${far} ago` : `in ${far}`;
}

/** A moment to the second, in the zone of the viewer or in UTC, which then is said: `2026-01-31 09:00:00 UTC`. */
export function formatMoment(at: Date, zone: Zone): string {
  // Written as if the time of the zone were UTC, because Intl takes ten times as long, and a page shows hundreds of times.
  const offsetMin = zone === "utc" ? 0 : at.getTimezoneOffset();
  const written = new Date(at.getTime() - offsetMin * 60_000).toISOString();
  return `${written.slice(0, 10)} ${written.slice(11, 19)} ${zone === "utc" ? "UTC" : localName(at, offsetMin)}`;
}

/** The names of the viewer's zone by its offset, as it has one in summer and one in winter. */
const localNames = new Map<number, string>();

function localName(at: Date, offsetMin: number): string {
  const known = localNames.get(offsetMin);
  if (known !== undefined) {
    return known;
  }
  const parts = new Intl.DateTimeFormat("en-CA", { timeZoneName: "short" }).formatToParts(at);
  const name = parts.find(({ type }) => type === "timeZoneName")?.value ?? "";
  localNames.set(offsetMin, name);
  return name;
}
