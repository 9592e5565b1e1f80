import type { Schemas } from "../../api/client";

type RuleList = Schemas["RuleList"];
type Ask = (after: string, limit: number) => Promise<RuleList>;

/** How many requests one page may take. Each looks at up to 5,000 rules, so that all of 100,000 are looked at. */
export const MAX_REQUESTS = 20;

/**
 * A page of rules, as full as it can be: a request looks at a bounded number of rules, so that its answer may be short,
 * and even empty, although others follow. `next` is null once nothing is left.
 */
export async function gathered(ask: Ask, after: string, size: number): Promise<RuleList> {
  let found = await ask(after, size);
  for (let asked = 1; asked < MAX_REQUESTS && found.next !== null; asked += 1) {
    const missing = size - found.rules.length - found.invalid.length;
    if (missing <= 0) {
      break;
    }
    const { rules, invalid, next } = await ask(found.next, missing);
    found = { rules: [...found.rules, ...rules], invalid: [...found.invalid, ...invalid], next };
  }
  return found;
}
