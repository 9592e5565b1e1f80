import { parseJson, writeJson } from "../api/json";
import { isRecord } from "../api/problem";

/** What somebody has typed into the forms of a page, by the names of the fields, while the browser is at the issuer. */
export type KeptDrafts = { name: string; path: string; values: Readonly<Record<string, unknown>> };

const KEY = "penstock.drafts";

/** Keep drafts in this tab while a sign-in leaves the page. Returns whether the browser does. */
export function keepDrafts(drafts: KeptDrafts): boolean {
  try {
    sessionStorage.setItem(KEY, writeJson(drafts));
    return true;
  } catch {
    return false; // it lets the page keep nothing, or they are too long
  }
}

/** The drafts that were kept, which are forgotten by that; null where there are none. */
export function takeDrafts(): KeptDrafts | null {
  try {
    const stored = parseJson(sessionStorage.getItem(KEY) ?? "null");
    sessionStorage.removeItem(KEY);
    return areDrafts(stored) ? stored : null;
  } catch {
    return null;
  }
}

function areDrafts(value: unknown): value is KeptDrafts {
  return isRecord(value) && typeof value.name === "string" && typeof value.path === "string" && isRecord(value.values);
}
