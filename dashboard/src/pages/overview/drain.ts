import type { Schemas } from "../../api/client";
import { HISTORY_LENGTH } from "../../live/history";

type Flow = Schemas["Flow"];

/** How fast the deepest flows might drain and do, in jobs a second. */
export type DrainSample = { atS: number; permitted: number; actual: number };

/** The rates of some flows together. Flows that share a counter share its rate, which is counted once. */
export function drainOf(flows: readonly Flow[], atS: number): DrainSample {
  const permitted = new Map<string, number>();
  let actual = 0;
  for (const flow of flows) {
    actual += flow.actual_per_second ?? 0;
    if (flow.permitted_per_second !== null && flow.state !== "paused") {
      permitted.set(counterOf(flow), flow.permitted_per_second);
    }
  }
  return { atS, permitted: [...permitted.values()].reduce((sum, rate) => sum + rate, 0), actual };
}

/** Which counter permits a flow its rate: that of the rule `permitted_by` in the flow's name; its own rate is its own. */
function counterOf(flow: Flow): string {
  const [counters = ""] = flow.name.split(">");
  const counter = counters.split(";").find((one) => one.startsWith(`${flow.permitted_by}|`));
  return flow.own_rate !== null || counter === undefined ? flow.name : counter;
}

export function withDrainSample(before: readonly DrainSample[], sample: DrainSample): readonly DrainSample[] {
  return before.at(-1)?.atS === sample.atS ? before : [...before.slice(-(HISTORY_LENGTH - 1)), sample];
}
