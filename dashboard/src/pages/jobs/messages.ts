type Headers = readonly (readonly [string, string])[];

/** A head as it stands on the wire: its first line, and a line for each header. */
export function headText(firstLine: string, headers: Headers): string {
  return [firstLine, ...headers.map(([name, value]) => `${name}: ${value}`)].join("\n");
}

export function requestText({ method, target, headers }: { method: string; target: string; headers: Headers }): string {
  return headText(`${method} ${target}`, headers);
}
