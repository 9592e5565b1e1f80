import type { Schemas } from "../../api/client";
import { FAILURE_CODES, failureOf } from "../../parts/jobs/failureCodes";
import type { Filters } from "../../urls/filters";

export type DeadLetterFilter = Schemas["DeadLetterFilter"];

export const PAGE_SIZE = 50;

/** Choices of the filter by the code with which a job failed. */
export const CODE_CHOICES: readonly (readonly [string, string])[] = [
  ["", "any"],
  ...FAILURE_CODES.map((code) => [code, failureOf(code).words] as const),
];

const TEXTS = ["rule_id", "descriptor", "code", "failed_after", "failed_before"] as const;

/** The dead letters that the filters of an address mean, as the list and operations take them. */
export function wantedLetters(filters: Filters): DeadLetterFilter {
  const texts = Object.fromEntries(TEXTS.filter((name) => filters[name]).map((name) => [name, filters[name]]));
  const { response_status = "" } = filters;
  return { ...texts, ...(response_status && { response_status: Number(response_status) }) } as DeadLetterFilter;
}
