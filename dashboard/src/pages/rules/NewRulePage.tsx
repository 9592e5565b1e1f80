import { useLocation } from "wouter";
import { sameJson } from "../../api/json";
import { useDraft, useUnsaved } from "../../drafts/useDraft";
import { ButtonLink } from "../../parts/ButtonLink";
import { ErrorNotice } from "../../parts/Notice";
import { Page } from "../../parts/Page";
import { Requires } from "../../parts/Requires";
import { useSay } from "../../parts/ToastProvider";
import { useApi } from "../../session/SessionProvider";
import { links } from "../../urls/links";
import { RuleForm } from "./form/RuleForm";
import { type Schemas, useSchemas } from "./form/schema";
import { createRule, type Fields } from "./rule";
import { useRulesChanged } from "./useRule";

const EMPTY: Fields = { key_type: "user", key_value: "*" };

/** Creates a rule. */
export function NewRulePage() {
  const schemas = useSchemas();
  return (
    <Page title="New rule">
      <Requires role="admin" to="write rules">
        <ErrorNotice error={schemas.error} doing="read what a rule may have" />
        {schemas.data && <Creator schemas={schemas.data} />}
      </Requires>
    </Page>
  );
}

function Creator({ schemas }: { schemas: Schemas }) {
  const [draft, setDraft] = useDraft<Fields>("rule", EMPTY);
  const saved = useUnsaved(!sameJson(draft, EMPTY));
  const api = useApi();
  const say = useSay();
  const changed = useRulesChanged();
  const [, navigate] = useLocation();
  const save = async (fields: Fields) => {
    const { rule } = await createRule(api, fields);
    saved();
    say(`The rule ${rule.rule_id} is created.`);
    navigate(links.rule(rule.rule_id));
    void changed();
  };
  return (
    <RuleForm
      schemas={schemas}
      draft={draft}
      onChange={setDraft}
      ruleId={null}
      onSave={save}
      cancel={<ButtonLink href={links.rules()}>Leave it</ButtonLink>}
    />
  );
}
