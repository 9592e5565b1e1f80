import { Link } from "wouter";
import type { Column } from "../../parts/Table";
import { Moment } from "../../time/Moment";
import { links } from "../../urls/links";
import { RuleStates } from "./RuleStates";
import type { Rule } from "./rule";
import styles from "./ruleColumns.module.css";
import { limitInWords, requestsInWords, whoInWords } from "./words";

/** What the table of rules shows of each. */
export const RULE_COLUMNS: readonly Column<Rule>[] = [
  { name: "rule_id", heading: "Rule", sort: "id", reversible: true, cell: (rule) => <RuleLink rule={rule} /> },
  { name: "who", heading: "Who", cell: (rule) => <Who rule={rule} /> },
  { name: "limit", heading: "Limit", cell: limitInWords },
  { name: "state", heading: "State", cell: (rule) => <RuleStates rule={rule} /> },
  {
    name: "priority",
    heading: "Priority",
    numeric: true,
    sort: "-priority",
    reversible: true,
    cell: (rule) => rule.priority ?? 0,
  },
  {
    name: "updated_at",
    heading: "Changed",
    sort: "-updated_at",
    reversible: true,
    cell: (rule) => <Changed rule={rule} />,
  },
];

function RuleLink({ rule }: { rule: Rule }) {
  return <Link href={links.rule(rule.rule_id)}>{rule.rule_id}</Link>;
}

function Who({ rule }: { rule: Rule }) {
  const requests = requestsInWords(rule.match);
  return (
    <>
      {whoInWords(rule)}
      {requests && <div className={styles.more}>{requests}</div>}
    </>
  );
}

function Changed({ rule }: { rule: Rule }) {
  return (
    <>
      <Moment at={rule.updated_at} only="relative" />
      {rule.updated_by && <div className={styles.more}>by {rule.updated_by}</div>}
    </>
  );
}
