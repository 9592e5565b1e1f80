/** The times of a chart, and the values of each of its lines at these times; null: there is none. */
export type Lines = [timesS: number[], ...values: (number | null)[][]];

/** Lines with a moment without values wherever nothing was seen for longer than `longestS`, so that none is drawn there. */
export function withGaps([timesS, ...values]: Lines, longestS: number): Lines {
  const found: Lines = [[], ...values.map(() => [])];
  timesS.forEach((timeS, at) => {
    const beforeS = timesS[at - 1];
    if (beforeS !== undefined && timeS - beforeS > longestS) {
      append(found, (beforeS + timeS) / 2, () => null);
    }
    append(found, timeS, (line) => values[line]?.[at] ?? null);
  });
  return found;
}

function append([timesS, ...values]: Lines, timeS: number, valueIn: (line: number) => number | null): void {
  timesS.push(timeS);
  values.forEach((line, at) => {
    line.push(valueIn(at));
  });
}
