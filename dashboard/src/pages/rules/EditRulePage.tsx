import { useQuery } from "@tanstack/react-query";
import { useLocation } from "wouter";
import { sameJson } from "../../api/json";
import { useDraft, useUnsaved } from "../../drafts/useDraft";
import { ButtonLink } from "../../parts/ButtonLink";
import { ErrorNotice, Notice } from "../../parts/Notice";
import { Page } from "../../parts/Page";
import { Requires } from "../../parts/Requires";
import { useSay } from "../../parts/ToastProvider";
import { useApi } from "../../session/SessionProvider";
import { Moment } from "../../time/Moment";
import { links } from "../../urls/links";
import { ConflictMerge } from "./ConflictMerge";
import { type Conflict, conflictOf } from "./conflict";
import { RuleForm } from "./form/RuleForm";
import { type Schemas, useSchemas } from "./form/schema";
import { editableFields, type Fields, type Rule, readRule, replaceRule, type StoredRule } from "./rule";
import { useRulesChanged } from "./useRule";

/** Edits a rule. It is read once, so that what is typed stays; what others change meanwhile is told when it is saved. */
export function EditRulePage({ ruleId }: { ruleId: string }) {
  const api = useApi();
  const schemas = useSchemas();
  const read = useQuery({
    queryKey: ["rule to edit", ruleId],
    queryFn: ({ signal }) => readRule(api, ruleId, signal),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
  return (
    <Page title={`Edit rule ${ruleId}`}>
      <Requires role="admin" to="change rules">
        <ErrorNotice error={read.error ?? schemas.error} doing="read the rule" />
        {read.data && schemas.data && <Editor stored={read.data} schemas={schemas.data} />}
      </Requires>
    </Page>
  );
}

/** The version of the rule that the draft began with; a null ETag: there was no rule any more. */
type Known = { base: Fields; etag: string | null };

function Editor({ stored, schemas }: { stored: StoredRule; schemas: Schemas }) {
  const ruleId = stored.rule.rule_id;
  const [known, setKnown] = useDraft<Known>("known rule", { base: stored.rule, etag: stored.etag });
  const [draft, setDraft] = useDraft<Fields>("rule", () => withoutId(stored.rule));
  const [conflict, setConflict] = useDraft<Conflict | null>("conflict", null);
  const saved = useUnsaved(!sameJson(draft, withoutId(known.base)) || conflict !== null);
  const api = useApi();
  const say = useSay();
  const changed = useRulesChanged();
  const [, navigate] = useLocation();
  const save = (base: Fields, etag: string | null) => async (fields: Fields) => {
    try {
      const { rule } = await replaceRule(api, ruleId, fields, etag);
      saved();
      say(`The rule ${ruleId} is saved as version ${rule.version}.`);
      navigate(links.rule(ruleId));
      void changed();
    } catch (error) {
      const found = conflictOf(error, base, fields);
      if (found === null) {
        throw error;
      }
      setConflict(found);
    }
  };
  const goOn = (fields: Fields) => {
    setKnown({ base: conflict?.theirs ?? known.base, etag: conflict?.etag ?? null });
    setDraft(fields);
    setConflict(null);
  };
  if (conflict !== null) {
    const { theirs, etag } = conflict;
    return <ConflictMerge key={etag} conflict={conflict} onSave={save(theirs ?? conflict.base, etag)} onEdit={goOn} />;
  }
  return (
    <>
      <TemporaryNotice rule={known.base} />
      <RuleForm
        schemas={schemas}
        draft={draft}
        onChange={setDraft}
        ruleId={ruleId}
        onSave={save(known.base, known.etag)}
        cancel={<ButtonLink href={links.rule(ruleId)}>Leave it as it is</ButtonLink>}
      />
    </>
  );
}

/** Says which of the values in the form are there for a while only. */
function TemporaryNotice({ rule }: { rule: Pick<Rule, "temporary"> }) {
  return (rule.temporary ?? []).map((change) => {
    const names = Object.keys(change.previous).join(", ");
    return (
      <Notice key={names} tone="warn" title={`Temporary: ${names}`}>
        The form shows what counts until <Moment at={change.until} />; then the previous value comes back. If you change
        it here, it is changed for good.
      </Notice>
    );
  });
}

function withoutId(rule: Fields): Fields {
  const { rule_id: _, ...fields } = editableFields(rule);
  return fields;
}
