import type { Fields } from "../rule";

/** Fields that an operator thinks of together. */
export type Group = {
  title: string;
  names: readonly string[];
  /** Whether it is open from the start. */
  open?: boolean;
  /** Whether rules that block or allow have nothing of it. */
  limitsOnly?: boolean;
};

export const GROUPS: readonly Group[] = [
  { title: "Who", names: ["rule_id", "key_type", "key_value", "secret", "priority"], open: true },
  { title: "Which requests", names: ["match"] },
  { title: "Limit", names: ["action", "limit", "window_seconds"], open: true },
  { title: "Over the limit", names: ["on_limit"], open: true, limitsOnly: true },
  { title: "Drain rate", names: ["drain"], limitsOnly: true },
  {
    title: "Shape of the limit",
    names: ["burst", "algorithm", "concurrency", "headroom_ms"],
    limitsOnly: true,
  },
  { title: "More limits", names: ["limits"], limitsOnly: true },
  { title: "Cost", names: ["cost"], limitsOnly: true },
  { title: "Schedule", names: ["schedule"], limitsOnly: true },
  { title: "Queue", names: ["queue"], limitsOnly: true },
  { title: "State and failure", names: ["enabled", "shadow", "paused", "on_store_failure"] },
];

/** Whether a draft is of a rule that blocks or allows, which counts nothing. */
export function countsNothing(draft: Fields): boolean {
  return draft.action === "block" || draft.action === "allow";
}

/** The groups that a draft has. */
export function groupsOf(draft: Fields): readonly Group[] {
  return countsNothing(draft) ? GROUPS.filter((group) => !group.limitsOnly) : GROUPS;
}

/** The fields as they are sent: without those that the action of the rule does not have. */
export function fieldsToSend(draft: Fields): Fields {
  const sent = Object.entries(draft).filter(([, value]) => value !== undefined);
  if (!countsNothing(draft)) {
    return Object.fromEntries(sent);
  }
  const left = new Set(GROUPS.flatMap((group) => (group.limitsOnly ? group.names : [])));
  return Object.fromEntries(sent.filter(([name]) => !left.has(name)));
}

/** The group in which the field at a path is. */
export function isIn(group: Group, path: string): boolean {
  return group.names.includes(path.split(".")[0] ?? "");
}
