import { expect, test } from "vitest";
import { lagOf } from "./stores";

test.each([
  [{ lag: 1, partitions: 8, partitions_read: 8 }, "1 message not yet taken from jobs"],
  [{ lag: 12, partitions: null, partitions_read: 3 }, "12 messages not yet taken from jobs"],
  [{ lag: 0, partitions: 8, partitions_read: 6 }, "0 messages not yet taken from jobs; 6 of 8 partitions are read"],
  [
    { lag: null, partitions: 8, partitions_read: 0 },
    "an unknown number of messages not yet taken from jobs; 0 of 8 partitions are read",
  ],
])("%o is said as %s", (topic, said) => {
  expect(lagOf({ topic: "jobs", ...topic })).toBe(said);
});
