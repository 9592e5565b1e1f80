import { expect, test } from "vitest";
import type { Schemas } from "../../api/client";
import { timelineEntries } from "./timelineEntries";

type JobEvent = Schemas["TimelineEvent"];

const ACCEPTED: JobEvent = { event: "accepted", at: "2026-03-01T09:00:00.000Z" };
const ATTEMPT: JobEvent = {
  event: "attempt",
  at: "2026-03-01T09:00:10.000Z",
  number: 1,
  worker: "host:1",
  ended_at: "2026-03-01T09:00:10.012Z",
  duration_ms: 12,
  response_status: 503,
  error_code: "upstream_unavailable",
};

test("an attempt says what the app server answered, how long that took, why it counts as failed, and who sent it", () => {
  const [, attempt] = timelineEntries([ACCEPTED, ATTEMPT]);
  expect(attempt).toMatchObject({
    tone: "warn",
    title: "Attempt 1: the app server answered 503 after 12 ms",
    details: ["the app server was busy", "upstream_unavailable", "worker host:1"],
    gapS: 10,
  });
});

test("an attempt without an answer, and one that is in flight, are told apart", () => {
  const timedOut: JobEvent = { ...ATTEMPT, response_status: null, duration_ms: 30_000, error_code: "upstream_timeout" };
  const inFlight: JobEvent = { ...ATTEMPT, number: 2, ended_at: null, duration_ms: null, error_code: null };
  const titles = timelineEntries([timedOut, inFlight]).map((entry) => entry.title);
  expect(titles).toEqual(["Attempt 1 brought no answer in 30 s", "Attempt 2 is in flight"]);
});

test("a gap counts from the end of the attempt before", () => {
  const failed: JobEvent = { event: "failed", at: "2026-03-01T09:00:11.012Z", error_code: "attempts_exhausted" };
  expect(timelineEntries([ACCEPTED, ATTEMPT, failed]).map((entry) => entry.gapS)).toEqual([null, 10, 1]);
  expect(timelineEntries([failed])[0]?.title).toBe("Failed: the last attempt failed");
});

test("a replay stands between the attempts before and after it, and no two entries have one key", () => {
  const failed: JobEvent = { event: "failed", at: "2026-03-01T09:00:11.012Z", error_code: "attempts_exhausted" };
  const replayed: JobEvent = { event: "replayed", at: "2026-03-01T09:10:11.012Z" };
  const again = [failed, replayed, { ...ATTEMPT, number: 2 }];
  const entries = timelineEntries([ACCEPTED, ATTEMPT, ...again, failed, replayed]);
  expect(entries.map((entry) => entry.title.split(/[:,]/)[0])).toEqual([
    "Accepted",
    "Attempt 1",
    "Failed",
    "Replayed",
    "Attempt 2",
    "Failed",
    "Replayed",
  ]);
  expect(entries[3]).toMatchObject({ tone: "accent", gapS: 600 });
  expect(new Set(entries.map((entry) => entry.key)).size).toBe(entries.length);
});

test("a code that is not known here is shown as it is", () => {
  const entry = timelineEntries([{ event: "failed", at: null, error_code: "new_code" }])[0];
  expect(entry).toMatchObject({ title: "Failed: new_code", gapS: null });
});
