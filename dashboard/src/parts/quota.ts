import { formatCount } from "./numbers";

type Quota = { limit?: number | null; window_seconds?: number | null };

const UNITS: readonly (readonly [string, number])[] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** A window exactly, in the largest unit that divides it: `minute`, `90 s`, `2 hours`. */
export function windowInWords(seconds: number): string {
  const unit = UNITS.find(([, size]) => seconds >= size && seconds % size === 0);
  if (unit === undefined) {
    return `${seconds} s`;
  }
  const count = seconds / unit[1];
  return count === 1 ? unit[0] : `${formatCount(count)} ${unit[0]}s`;
}

/** A quota: `10/s`, `5 per minute`; nothing where there is none. */
export function quotaInWords({ limit, window_seconds }: Quota): string {
  if (limit === null || limit === undefined || window_seconds === null || window_seconds === undefined) {
    return "";
  }
  return window_seconds === 1
    ? `${formatCount(limit)}/s`
    : `${formatCount(limit)} per ${windowInWords(window_seconds)}`;
}
