import { expect, test } from "vitest";
import type { Schemas } from "../api/client";
import type { Status } from "./events";
import { HISTORY_LENGTH, type Sample, withGathered, withSample } from "./history";

function statusAt(second: number, jobs: number | null = null): Status {
  const backlog = jobs === null ? null : { jobs, oldest_age_seconds: 1, retrying: 0, dead_letters: 2 };
  const drain = jobs === null ? null : { permitted_per_second: 5, actual_per_second: 4 };
  const at = new Date(second * 1000).toISOString();
  return { at, rates: { decisions: { forward: 1 }, attempts: 3 }, backlog, drain } as unknown as Status;
}

function gatheredAt(second: number): Schemas["StatusSample"] {
  const [sample] = withSample([], statusAt(second, 7));
  return { ...sample, at: new Date(second * 1000).toISOString() } as Schemas["StatusSample"];
}

function historyOf(statuses: readonly Status[]): readonly Sample[] {
  return statuses.reduce(withSample, [] as readonly Sample[]);
}

const timesOf = (history: readonly Sample[]) => history.map((sample) => sample.atS);
const seconds = (first: number, end: number) => Array.from({ length: end - first }, (_, at) => first + at);

test("a sample has what charts show; what is not known is null", () => {
  const [known, unknown] = historyOf([statusAt(1, 5), statusAt(2)]);
  const rates = { permitted_per_second: 5, actual_per_second: 4 };
  expect(known).toEqual({
    atS: 1,
    decisions: { forward: 1 },
    jobs: 5,
    oldest_age_seconds: 1,
    dead_letters: 2,
    ...rates,
  });
  const nothing = { jobs: null, oldest_age_seconds: null, dead_letters: null };
  expect(unknown).toMatchObject({ atS: 2, ...nothing, permitted_per_second: null, actual_per_second: null });
});

test("an hour of samples takes the room of the last ten minutes", () => {
  const history = historyOf(seconds(0, 3600).map((second) => statusAt(second)));
  expect(history).toHaveLength(HISTORY_LENGTH);
  expect([history[0]?.atS, history.at(-1)?.atS]).toEqual([3600 - HISTORY_LENGTH, 3599]);
});

test("what is older than ten minutes goes, also after a long pause", () => {
  expect(timesOf(historyOf([10, 20, 500, 615].map((second) => statusAt(second))))).toEqual([20, 500, 615]);
});

test.each([
  ["a status that comes twice", [1, 2, 2, 3], [1, 2, 3]],
  ["another admin process whose clock is behind", [10, 11, 12, 11, 13], [10, 11, 13]],
])("times rise after %s", (_, given, kept) => {
  expect(timesOf(historyOf(given.map((second) => statusAt(second))))).toEqual(kept);
});

test("what was gathered for others stands before what this tab has, and fills its gaps", () => {
  const own = historyOf([5, 6, 20, 21].map((second) => statusAt(second, 1)));
  const history = withGathered(own, seconds(3, 24).map(gatheredAt));
  expect(timesOf(history)).toEqual(seconds(3, 24));
  expect(history.find((sample) => sample.atS === 5)?.jobs).toBe(1);
  expect(history.find((sample) => sample.atS === 7)?.jobs).toBe(7);
  expect(withGathered(own, [])).toEqual(own);
  expect(timesOf(withGathered(own, seconds(-1000, 5).map(gatheredAt))).slice(0, 2)).toEqual([-578, -577]);
});
