import { Badge } from "../../parts/Badge";
import { Moment } from "../../time/Moment";
import styles from "./RuleStates.module.css";
import type { Rule } from "./rule";

/** In which states a rule is, as words. What is enabled and has nothing special about it says just that. */
export function RuleStates({ rule }: { rule: Rule }) {
  const { enabled = true, shadow, paused, temporary, schedule, in_force } = rule;
  const until = temporary?.[0]?.until;
  return (
    <span className={styles.states}>
      {enabled ? <Badge tone="good">Enabled</Badge> : <Badge tone="quiet">Disabled</Badge>}
      {shadow && <Badge tone="accent">Shadow: not enforced</Badge>}
      {paused && <Badge tone="warn">Paused: does not drain</Badge>}
      {until && (
        <Badge tone="warn">
          Temporary, ends <Moment at={until} only="relative" />
        </Badge>
      )}
      {schedule && (
        <Badge tone="accent">{typeof in_force?.window === "number" ? "Schedule in force" : "Has a schedule"}</Badge>
      )}
    </span>
  );
}
