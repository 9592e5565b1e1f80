import { Link } from "wouter";
import { Badge } from "../../parts/Badge";
import { Empty, Notice } from "../../parts/Notice";
import { Section } from "../../parts/Page";
import { type Column, Table } from "../../parts/Table";
import { Moment } from "../../time/Moment";
import { links } from "../../urls/links";
import styles from "./ExplanationView.module.css";
import { decisionInWords, type ExplainedRule, type Explanation, leftInWords, limitInWords, verdictOf } from "./words";

const TONES = { forward: "good", defer: "warn", reject: "bad", block: "bad" } as const;

const COLUMNS: readonly Column<ExplainedRule>[] = [
  { name: "rule", heading: "Limit", cell: (rule) => <RuleName rule={rule} /> },
  { name: "descriptor", heading: "Counts", cell: (rule) => <code>{rule.descriptor}</code> },
  { name: "limit", heading: "Permits", cell: (rule) => <Permits rule={rule} /> },
  { name: "left", heading: "Left now", cell: leftInWords },
  { name: "verdict", heading: "Says", cell: (rule) => <VerdictView rule={rule} /> },
];

/** The decision in words, and the rules that lead to it in the order in which they are asked. */
export function ExplanationView({ explanation }: { explanation: Explanation }) {
  const waiting = explanation.rules.find((rule) => explanation.by.includes(rule.policy));
  return (
    <>
      <Notice tone={TONES[explanation.decision]} title={`Decision: ${explanation.decision}`}>
        {decisionInWords(explanation)}{" "}
        {explanation.decision === "defer" && waiting && (
          <Link href={links.flows({ rule_id: waiting.rule_id, descriptor: waiting.descriptor })}>
            See what waits there
          </Link>
        )}
      </Notice>
      <Section title="Rules that apply, in their order">
        <Table
          caption="Rules that apply to the request, in the order in which they are asked"
          columns={COLUMNS}
          rows={explanation.rules}
          keyOf={(rule) => rule.policy}
          empty={
            <Empty title="No rule applies to this request.">
              <Link href={links.rules()}>See all rules</Link>
            </Empty>
          }
        />
      </Section>
    </>
  );
}

function RuleName({ rule }: { rule: ExplainedRule }) {
  return (
    <>
      <Link href={links.rule(rule.rule_id)}>{rule.policy}</Link> {rule.shadow && <Badge tone="quiet">shadow</Badge>}
    </>
  );
}

function Permits({ rule }: { rule: ExplainedRule }) {
  return (
    <>
      {limitInWords(rule)}
      {rule.source !== "rule" && (
        <div className={styles.why}>
          {rule.source === "temporary" ? "for a while" : "by its schedule"}
          {rule.until && (
            <>
              , until <Moment at={rule.until} />
            </>
          )}
        </div>
      )}
    </>
  );
}

function VerdictView({ rule }: { rule: ExplainedRule }) {
  const { tone, word, why } = verdictOf(rule);
  return (
    <>
      <Badge tone={tone}>{word}</Badge>
      {why && <div className={styles.why}>{why}</div>}
    </>
  );
}
