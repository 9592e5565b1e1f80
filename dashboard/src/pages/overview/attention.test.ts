import { expect, test } from "vitest";
import type { Status } from "../../live/events";
import { attentionOf } from "./attention";

const WELL: Status = {
  at: "2026-01-01T00:00:00Z",
  problems: [],
  drain: null,
  rates: { decisions: { forward: 1, reject: 0, defer: 0, block: 0 }, attempts: 0 },
  decision_latency: null,
  backlog: { jobs: 3, oldest_age_seconds: 2, retrying: 0, dead_letters: 0, recent_dead_letters: 0 },
  flows: { total: 1, held: 0, paused: 0, as_of: null },
  rules: { version: 1, sync_lag_seconds: 0, invalid_documents: 0, paused: 0 },
  processes: [],
  app_servers: [],
  stores: [],
};

test("nothing needs attention where all is well", () => {
  expect(attentionOf(WELL)).toEqual([]);
});

test("problems of the server come first, each with a link to where it is dealt with", () => {
  const found = attentionOf({
    ...WELL,
    problems: [
      { text: "No worker is running.", about: "processes" },
      { text: "2 documents in MongoDB are not valid rules.", about: "rules" },
    ],
    flows: { ...WELL.flows, held: 2 },
  });
  expect(found.map(({ tone, href }) => [tone, href])).toEqual([
    ["bad", "/system"],
    ["bad", "/rules"],
    ["warn", "/flows?state=held"],
  ]);
});

test("dead letters of the last minutes are a warning, and old ones a note", () => {
  const withDead = (recent_dead_letters: number) =>
    attentionOf({ ...WELL, backlog: { ...backlog(), dead_letters: 4, recent_dead_letters } });
  expect(withDead(1).map(({ tone, text }) => [tone, text])).toEqual([
    ["warn", "1 job became a dead letter in the last ten minutes."],
  ]);
  expect(withDead(0).map(({ tone, text }) => [tone, text])).toEqual([
    ["quiet", "4 dead letters wait to be replayed or deleted."],
  ]);
});

test("what is paused and what has waited for long is said", () => {
  const found = attentionOf({
    ...WELL,
    backlog: { ...backlog(), oldest_age_seconds: 1200 },
    flows: { ...WELL.flows, paused: 1 },
    rules: { ...WELL.rules, paused: 2 },
  });
  expect(found.map(({ href }) => href)).toEqual(["/flows?state=paused", "/flows?sort=age", "/rules?paused=true"]);
});

test("what is not known is not called a problem", () => {
  expect(
    attentionOf({
      ...WELL,
      backlog: null,
      flows: { ...WELL.flows, paused: null },
      rules: { ...WELL.rules, paused: null },
    }),
  ).toEqual([]);
});

function backlog() {
  return { jobs: 3, oldest_age_seconds: 2, retrying: 0, dead_letters: 0, recent_dead_letters: 0 };
}
