import { links } from "../../urls/links";

/** Where what was changed is shown, by the kind of the action (`rule.changed` → `rule`). null: nowhere. */
export function linkOfTarget(action: string, target: string): string | null {
  switch (action.split(".")[0]) {
    case "rule":
      return links.rule(target);
    case "flow":
      return links.flows(filterOfFlow(target));
    case "job":
      return links.job(target);
    case "dead_letter":
      return action === "dead_letter.rule_replayed" ? links.rule(target) : links.job(target);
    case "operation":
      return links.operation(target);
    default:
      return null;
  }
}

/** What finds a flow in their list: its rule and its caller. `a|claim:x>user:u;b|ip:1` → the rule a and user:u. */
function filterOfFlow(name: string): Record<string, string> {
  const [, rule = "", charged = ""] = /^([^|]*)\|([^;]*)/.exec(name) ?? [];
  return { rule_id: rule, descriptor: charged.split(">").at(-1) ?? "" };
}
