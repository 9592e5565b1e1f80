import { expect, test } from "vitest";
import type { Status } from "../../live/events";
import { processRows } from "./rows";

type Process = Status["processes"][number];

const RULES = { version: 7, sync_lag_seconds: 0.1, invalid_documents: 0, paused: 0 };

function process(fields: Partial<Process>): Process {
  return {
    id: "p",
    role: "edge",
    host: "h",
    pid: 1,
    version: "1.0",
    uptime_seconds: 5,
    heartbeat_age_seconds: 1,
    silent: false,
    rules_version: 7,
    rules_version_age_seconds: 5,
    lag_seconds: null,
    in_flight: null,
    rates: {},
    ...fields,
  };
}

test("the process whose version is another stands out, and no other", () => {
  const rows = processRows({ processes: [process({}), process({ version: "0.9" }), process({})], rules: RULES });
  expect(rows.map((row) => row.isOtherVersion)).toEqual([false, true, false]);
});

test.each([
  [6, true],
  [7, false],
  [null, false],
])("a process that has the rules %s is behind: %s", (version, isBehind) => {
  const [row] = processRows({ processes: [process({ rules_version: version })], rules: RULES });
  expect(row?.isBehind).toBe(isBehind);
});

test("what a process does is said in words, without what it does not", () => {
  const worker = process({ role: "worker", in_flight: 3, rates: { succeeded: 2.5, retry: 0 } });
  const [row, sync] = processRows({ processes: [worker, process({ lag_seconds: 0.2 })], rules: RULES });
  expect(row?.doing).toBe("2.5/s succeed, 3 in flight");
  expect(sync?.doing).toBe("200 ms behind MongoDB");
});
