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
  const parts = formatOf(zone).formatToParts(at);
  const part = (type: Intl.DateTimeFormatPartTypes) => parts.find((one) => one.type === type)?.value ?? "";
  const day = `${part("year")}-${part("month")}-${part("day")}`;
  return `${day} ${part("hour")}:${part("minute")}:${part("second")} ${part("timeZoneName")}`;
}

/** A format costs more to make than to use some hundred times, so it is kept. */
const formats = new Map<Zone, Intl.DateTimeFormat>();

function formatOf(zone: Zone): Intl.DateTimeFormat {
  const format = formats.get(zone) ?? newFormat(zone);
  formats.set(zone, format);
  return format;
}

function newFormat(zone: Zone): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat("en-CA", {
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
    timeZone: zone === "utc" ? "UTC" : undefined,
    timeZoneName: "short",
  });
}
