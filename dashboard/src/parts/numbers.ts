const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const RATE = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** A whole number with thin groups of digits, without loss: `1 234 567`. */
export function formatCount(count: number | bigint | null | undefined): string {
  if (count === null || count === undefined) {
    return "–";
  }
  return WHOLE.format(count).replaceAll(",", "\u202f");
}

/** Events a second, to three digits: `0.0833/s`, `12.5/s`, `1 250/s`. */
export function formatRate(perSecond: number | null | undefined): string {
  if (perSecond === null || perSecond === undefined) {
    return "–";
  }
  const number = RATE.format(perSecond);
  return `${number.replaceAll(",", "\u202f")}/s`;
}

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** A number of bytes in the unit that fits: `512 B`, `1.5 MiB`. */
export function formatBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) {
    return "–";
  }
  const power = bytes < 1 ? 0 : Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const scaled = bytes / 1024 ** power;
  return `${Number(scaled.toFixed(scaled < 10 && power > 0 ? 1 : 0))} ${BYTE_UNITS[power]}`;
}

/** `1 job`, `2 jobs`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}
