import { expect, test } from "vitest";
import type { Status } from "./events";
import { HISTORY_LENGTH, type Sample, withSample } from "./history";

function statusAt(second: number, jobs: number | null = null): Status {
  const backlog = jobs === null ? null : { jobs, oldest_age_seconds: 1, retrying: 0, dead_letters: 2 };
  const at = new Date(second * 1000).toISOString();
  return { at, rates: { decisions: { forward: 1 }, attempts: 3 }, backlog } as unknown as Status;
}

function historyOf(statuses: readonly Status[]): readonly Sample[] {
  return statuses.reduce(withSample, [] as readonly Sample[]);
}

test("a sample has what charts show; what is not known is null", () => {
  const [known, unknown] = historyOf([statusAt(1, 5), statusAt(2)]);
  expect(known).toMatchObject({
    atS: 1,
    decisions: { forward: 1 },
    attempts: 3,
    jobs: 5,
    oldestAgeS: 1,
    deadLetters: 2,
  });
  expect(unknown).toMatchObject({ atS: 2, jobs: null, oldestAgeS: null, deadLetters: null });
});

test("an hour of samples takes the room of the last ten minutes", () => {
  const history = historyOf(Array.from({ length: 3600 }, (_, second) => statusAt(second)));
  expect(history).toHaveLength(HISTORY_LENGTH);
  expect([history[0]?.atS, history.at(-1)?.atS]).toEqual([3600 - HISTORY_LENGTH, 3599]);
});

test.each([
  ["a status that comes twice", [1, 2, 2, 3], [1, 2, 3]],
  ["another admin process whose clock is behind", [10, 11, 12, 11, 13], [10, 11, 13]],
])("times rise after %s", (_, seconds, kept) => {
  expect(historyOf(seconds.map((second) => statusAt(second))).map((sample) => sample.atS)).toEqual(kept);
});
