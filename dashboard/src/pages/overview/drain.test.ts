import { expect, test } from "vitest";
import type { Schemas } from "../../api/client";
import { aFlow } from "../../parts/flows/aFlow";
import { type DrainSample, drainOf, withDrainSample } from "./drain";

function flow(name: string, fields: Partial<Schemas["Flow"]> = {}) {
  return aFlow({ name, permitted_by: "r", permitted_per_second: 5, actual_per_second: 2, ...fields });
}

test("flows that share a counter share its rate", () => {
  const { permitted, actual } = drainOf([flow("r|ip:x>user:a"), flow("r|ip:x>user:b"), flow("r|ip:y>user:c")], 0);
  expect([permitted, actual]).toEqual([10, 6]);
});

test("a flow with a rate of its own has it for itself, and a paused one has none", () => {
  const own = { limit: 1, window_seconds: 1, burst: 1 };
  const flows = [
    flow("r|ip:x>user:a"),
    flow("r|ip:x>user:b", { own_rate: own, permitted_per_second: 1 }),
    flow("r|ip:z", { state: "paused", actual_per_second: null }),
  ];
  expect(drainOf(flows, 0)).toEqual({ atS: 0, permitted: 6, actual: 4 });
});

test("samples are kept for ten minutes, and each once", () => {
  const sample = (atS: number): DrainSample => ({ atS, permitted: 1, actual: 1 });
  const full = Array.from({ length: 600 }, (_, at) => sample(at));
  expect(withDrainSample(full, sample(599))).toBe(full);
  expect(withDrainSample(full, sample(600)).map(({ atS }) => atS)).toEqual(
    Array.from({ length: 600 }, (_, at) => at + 1),
  );
});
