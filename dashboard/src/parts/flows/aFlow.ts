import type { Schemas } from "../../api/client";

/** A flow for tests: ten jobs that drain at 2 of 5 a second. */
export function aFlow(fields: Partial<Schemas["Flow"]> = {}): Schemas["Flow"] {
  return {
    id: "f",
    name: "r|user:alice",
    rule_id: "r",
    descriptor: "user:alice",
    caller: "user:alice",
    depth: 10,
    waiting: 10,
    in_flight: 0,
    backing_off: 0,
    bytes: 100,
    oldest_age_seconds: 4,
    state: "draining",
    state_detail: "It drains at the permitted rate.",
    paused_by: null,
    held_until: null,
    waits_for: "r",
    permitted_per_second: 5,
    permitted_by: "r",
    own_rate: null,
    actual_per_second: 2,
    actual_over_seconds: 10,
    eta_seconds: 2,
    ...fields,
  };
}
