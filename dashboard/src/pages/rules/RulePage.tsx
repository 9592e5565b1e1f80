import type { ReactNode } from "react";
import { Link } from "wouter";
import { ApiProblem } from "../../api/problem";
import { ButtonLink } from "../../parts/ButtonLink";
import { ErrorNotice, Notice } from "../../parts/Notice";
import { Page, Section } from "../../parts/Page";
import { Requires } from "../../parts/Requires";
import type { Filters } from "../../urls/filters";
import { links } from "../../urls/links";
import { DeleteRule } from "./DeleteRule";
import { InForceNotice } from "./InForceNotice";
import { RuleActions } from "./RuleActions";
import { RuleFacts } from "./RuleFacts";
import { RuleJson } from "./RuleJson";
import styles from "./RulePage.module.css";
import { RuleStates } from "./RuleStates";
import type { Rule, StoredRule } from "./rule";
import { useRule } from "./useRule";
import { limitInWords, requestsInWords, whoInWords } from "./words";

/** One rule: what it does, what is in force and why, and what can be done with it. */
export function RulePage({ ruleId }: { ruleId: string }) {
  const found = useRule(ruleId);
  return (
    <Page title={`Rule ${ruleId}`} actions={<Ways ruleId={ruleId} exists={found.isSuccess} />}>
      {found.error !== null ? <NotShown ruleId={ruleId} error={found.error} /> : null}
      {found.data && <Shown stored={found.data} />}
    </Page>
  );
}

function Ways({ ruleId, exists }: { ruleId: string; exists: boolean }) {
  return (
    <>
      {exists && (
        <Requires role="admin">
          <ButtonLink href={links.rule(ruleId, "edit")} kind="primary">
            Edit
          </ButtonLink>
        </Requires>
      )}
      <ButtonLink href={links.rule(ruleId, "history")}>History</ButtonLink>
    </>
  );
}

function Shown({ stored }: { stored: StoredRule }) {
  const { rule } = stored;
  const requests = requestsInWords(rule.match);
  return (
    <>
      <div>
        <p className={styles.sentence}>
          <strong>{capitalized(whoInWords(rule))}</strong>
          {requests && `, for requests ${requests}`}: {limitInWords(rule)}.
        </p>
        <RuleStates rule={rule} />
      </div>
      <InForceNotice stored={stored} />
      <RuleActions stored={stored} />
      <Elsewhere rule={rule} />
      <Section title="All fields">
        <RuleFacts rule={rule} />
      </Section>
      <RuleJson rule={rule} />
    </>
  );
}

/** Where what the rule does is seen. */
function Elsewhere({ rule }: { rule: Rule }) {
  const ruleId = rule.rule_id;
  const places: readonly (readonly [string, string])[] = [
    ["Queues of this rule", links.flows({ rule_id: ruleId })],
    ["Jobs", links.jobs({ rule_id: ruleId })],
    ["Dead letters", links.deadLetters({ rule_id: ruleId })],
    ["Audit", links.audit({ target: ruleId })],
    ["Explain a request", links.explain(requestOf(rule))],
  ];
  return (
    <nav aria-label="What this rule does" className={styles.places}>
      {places.map(([name, href]) => (
        <Link key={name} href={href}>
          {name}
        </Link>
      ))}
    </nav>
  );
}

/** A request to which the rule applies, as far as it names one. */
function requestOf({ key_type, key_value, match }: Rule): Filters {
  const isOne = typeof key_value === "string" && key_value !== "*";
  const path: Filters = match?.path_prefix ? { path: match.path_prefix } : {};
  return isOne && (key_type === "user" || key_type === "ip") ? { [key_type]: key_value, ...path } : path;
}

/** A rule that is gone, whose document is not valid, or that cannot be read, and what can be done about it. */
function NotShown({ ruleId, error }: { ruleId: string; error: Error }): ReactNode {
  const status = error instanceof ApiProblem ? error.status : 0;
  if (status === 404) {
    return (
      <Notice tone="warn" title="There is no such rule.">
        If it was deleted, its <Link href={links.rule(ruleId, "history")}>history</Link> has its versions, and an admin
        can restore one of them.
      </Notice>
    );
  }
  if (status !== 409) {
    return <ErrorNotice error={error} doing="read the rule" />;
  }
  return (
    <>
      <Notice tone="bad" title="The document of this rule is not valid, so its last good version stays in force.">
        {error.message} Restore a version from the <Link href={links.rule(ruleId, "history")}>history</Link>, or delete
        the document.
      </Notice>
      <Requires role="admin" to="restore or delete it">
        <div>
          <DeleteRule ruleId={ruleId} etag={null} />
        </div>
      </Requires>
    </>
  );
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
