import { type ReactNode, useEffect, useRef, useState } from "react";
import { ApiProblem } from "../../../api/problem";
import { useDraft } from "../../../drafts/useDraft";
import { Button } from "../../../parts/Button";
import { ErrorNotice, Notice } from "../../../parts/Notice";
import { counted } from "../../../parts/numbers";
import { Section } from "../../../parts/Page";
import { NewRulePreview } from "../NewRulePreview";
import { PreviewPanel } from "../PreviewPanel";
import type { Fields } from "../rule";
import { FormProvider } from "./FormContext";
import styles from "./form.module.css";
import { GroupFields } from "./GroupFields";
import { fieldsToSend, groupsOf } from "./groups";
import { JsonForm } from "./JsonForm";
import type { Schema, Schemas } from "./schema";
import { type Problems, problemOfDetail, problemsOf } from "./validate";

type RuleFormProps = {
  schemas: Schemas;
  draft: Fields;
  onChange: (draft: Fields) => void;
  /** The id of the rule that is edited; null: it is a new one. */
  ruleId: string | null;
  /** Saves the rule. What it rejects with is shown, a 422 at its field. */
  onSave: (fields: Fields) => Promise<unknown>;
  cancel: ReactNode;
};

/** Edits a draft of a rule: by fields that are explained, or as JSON; previews it, and saves it. */
export function RuleForm({ schemas, draft, onChange, ruleId, onSave, cancel }: RuleFormProps) {
  const [asJson, setAsJson] = useDraft("rule as JSON", false);
  const [unreadable, setUnreadable] = useDraft("rule is unreadable", false);
  const [previewed, setPreviewed] = useState<Fields | null>(null);
  const schema = schemas[ruleId === null ? "RuleFields" : "RuleFieldsWithoutId"] ?? {};
  const { form, problems, error, busy, submit, check } = useSubmission(schema, schemas, draft, onSave);
  const preview = () => setPreviewed(check() ? fieldsToSend(draft) : null);
  const change = (changed: Fields | null) => {
    setUnreadable(changed === null);
    if (changed !== null) {
      onChange(changed);
    }
  };
  return (
    <FormProvider schemas={schemas} problems={problems}>
      <form ref={form} className={styles.form} noValidate onSubmit={submit}>
        <Modes asJson={asJson} disabled={unreadable} onChange={setAsJson} />
        {asJson ? (
          <JsonForm draft={draft} onChange={change} />
        ) : (
          groupsOf(draft).map((group) => (
            <GroupFields
              key={group.title}
              group={group}
              schema={schema}
              draft={draft}
              named={ruleId !== null}
              onChange={(changes) => change({ ...draft, ...changes })}
            />
          ))
        )}
        <ProblemsNotice problems={problems} asJson={asJson} />
        <ErrorNotice error={error} doing="save the rule" />
        {previewed && (
          <Section title="Preview">
            {ruleId === null ? (
              <NewRulePreview fields={previewed} />
            ) : (
              <PreviewPanel ruleId={ruleId} fields={previewed} />
            )}
          </Section>
        )}
        <div className={styles.bar}>
          <Button type="submit" kind="primary" disabled={busy || unreadable}>
            {busy ? "Saving…" : "Save"}
          </Button>
          <Button onClick={preview} disabled={unreadable}>
            Preview on real traffic
          </Button>
          {cancel}
        </div>
      </form>
    </FormProvider>
  );
}

function Modes({
  asJson,
  disabled,
  onChange,
}: {
  asJson: boolean;
  disabled: boolean;
  onChange: (on: boolean) => void;
}) {
  return (
    <fieldset className={styles.modes} aria-label="How to edit">
      <label>
        <input type="radio" name="mode" checked={!asJson} disabled={disabled} onChange={() => onChange(false)} /> As a
        form
      </label>
      <label>
        <input type="radio" name="mode" checked={asJson} onChange={() => onChange(true)} /> As JSON
      </label>
    </fieldset>
  );
}

/** Says how much is wrong, and as JSON also what, since there are no fields at which it could stand. */
function ProblemsNotice({ problems, asJson }: { problems: Problems; asJson: boolean }) {
  const found = Object.entries(problems);
  if (found.length === 0) {
    return null;
  }
  const listed = found.filter(([path]) => asJson || path === "");
  const need = found.length === 1 ? "needs" : "need";
  return (
    <Notice tone="bad" title={`${counted(found.length, "field")} ${need} attention, so nothing is saved.`}>
      {listed.map(([path, problem]) => (
        <div key={path}>{path === "" ? problem : `${path}: ${problem}.`}</div>
      ))}
    </Notice>
  );
}

/** Checks and saves a draft. A field that is wrong gets the focus. */
function useSubmission(schema: Schema, schemas: Schemas, draft: Fields, onSave: (fields: Fields) => Promise<unknown>) {
  const form = useRef<HTMLFormElement>(null);
  const [problems, setProblems] = useState<Problems>({});
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    if (Object.keys(problems).length > 0) {
      form.current?.querySelector<HTMLElement>('[aria-invalid="true"]:is(input, select, textarea)')?.focus();
    }
  }, [problems]);
  const check = () => {
    const found = problemsOf(fieldsToSend(draft), schema, schemas);
    setProblems(found);
    return Object.keys(found).length === 0;
  };
  const save = async () => {
    setError(null);
    if (!check()) {
      return;
    }
    setBusy(true);
    try {
      await onSave(fieldsToSend(draft));
    } catch (refused) {
      const isInvalid = refused instanceof ApiProblem && refused.status === 422;
      setProblems(isInvalid ? problemOfDetail(refused.detail) : {});
      setError(isInvalid ? null : refused);
    } finally {
      setBusy(false);
    }
  };
  const submit = (event: { preventDefault: () => void }) => {
    event.preventDefault();
    void save();
  };
  return { form, problems, error, busy, submit, check };
}
