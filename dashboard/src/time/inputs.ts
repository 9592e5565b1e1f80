import type { Zone } from "./TimeZoneProvider";

/** The value of `<input type="datetime-local">` for a moment in ISO 8601, in the zone of the viewer; '' for none. */
export function inputOfMoment(at: string, zone: Zone): string {
  const moment = new Date(at);
  if (Number.isNaN(moment.getTime())) {
    return "";
  }
  const offsetMinutes = zone === "utc" ? 0 : moment.getTimezoneOffset();
  return new Date(moment.getTime() - offsetMinutes * 60_000).toISOString().slice(0, 19);
}

/** The moment that such an input names, in UTC; null while it names none, as while a year is being typed. */
export function momentOfInput(value: string, zone: Zone): string | null {
  const moment = new Date(zone === "utc" ? `${value}Z` : value);
  return Number.isNaN(moment.getTime()) || moment.getFullYear() < 2000 ? null : moment.toISOString();
}
