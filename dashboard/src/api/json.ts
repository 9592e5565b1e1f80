/**
 * JSON without loss: integers that a number cannot hold become a `bigint`, and are written as they were read.
 *
 * The admin API stores integers of 64 bits, of which JavaScript's own JSON functions would round the last digits.
 */

type Container = { [name: string]: unknown } | unknown[];

/** Parse JSON. Throws SyntaxError for what is not JSON, and for a name that an object has twice, as the server does. */
export function parseJson(text: string): unknown {
  JSON.parse(text); // says what is wrong with the syntax, so that only the values are left to read
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  let at = 0;
  const next = () => tokens[at++] ?? "";

  function value(): unknown {
    const token = next();
    if (token === "{") {
      return members();
    }
    return token === "[" ? items() : scalar(token);
  }
  function members(): unknown {
    const found: [string, unknown][] = [];
    const names = new Set<string>();
    while (tokens[at] !== "}") {
      const name = JSON.parse(next()) as string;
      if (names.has(name)) {
        throw new SyntaxError(`The name ${JSON.stringify(name)} is given twice.`);
      }
      names.add(name);
      at += 1; // the colon
      found.push([name, value()]);
      at += tokens[at] === "," ? 1 : 0;
    }
    at += 1;
    return Object.fromEntries(found);
  }
  function items(): unknown[] {
    const found: unknown[] = [];
    while (tokens[at] !== "]") {
      found.push(value());
      at += tokens[at] === "," ? 1 : 0;
    }
    at += 1;
    return found;
  }
  return value();
}

function scalar(token: string): unknown {
  return /^-?\d{16,}$/.test(token) ? exactInteger(token) : JSON.parse(token);
}

/** An integer, exactly: a number where that holds it, else a bigint. */
export function exactInteger(digits: string): number | bigint {
  const number = Number(digits);
  return Number.isSafeInteger(number) ? number : BigInt(digits);
}

/** Write a value as JSON, indented by two spaces if `pretty`. Members that are undefined are left out. */
export function writeJson(value: unknown, pretty = false): string {
  return written(value, pretty ? "\n" : "");
}

function written(value: unknown, indent: string): string {
  if (typeof value === "bigint") {
    return value.toString();
  }
  if (typeof value !== "object" || value === null) {
    return JSON.stringify(value) ?? "null";
  }
  const deeper = indent && `${indent}  `;
  const parts = partsOf(value as Container, deeper);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return parts.length === 0 ? `${open}${close}` : `${open}${deeper}${parts.join(`,${deeper}`)}${indent}${close}`;
}

function partsOf(value: Container, indent: string): string[] {
  if (Array.isArray(value)) {
    return value.map((one) => written(one, indent));
  }
  const colon = indent ? ": " : ":";
  return Object.entries(value)
    .filter(([, one]) => one !== undefined)
    .map(([name, one]) => `${JSON.stringify(name)}${colon}${written(one, indent)}`);
}

/** Whether two values are the same JSON, whatever the order of members. */
export function sameJson(one: unknown, other: unknown): boolean {
  return writeJson(ordered(one)) === writeJson(ordered(other));
}

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(ordered);
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return Object.fromEntries(entries.map(([name, of]) => [name, ordered(of)]));
}
