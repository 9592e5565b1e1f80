import { type FormEvent, type HTMLAttributes, type ReactNode, useId, useState } from "react";
import { messageOf } from "../../api/problem";
import { useDraft } from "../../drafts/useDraft";
import { Button } from "../../parts/Button";
import type { Filters } from "../../urls/filters";
import styles from "./ExplainForm.module.css";
import { filtersOf, requestOf, type Typed, typedOf } from "./request";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/** Asks who sends which request. It is filled from the address, as a link from a rule or a job has it. */
export function ExplainForm({ filters, onAsk }: { filters: Filters; onAsk: (typed: Typed) => void }) {
  const [inAddress, setInAddress] = useDraft("request to explain", () => filtersOf(typedOf(filters)));
  const [headers, setHeaders] = useState(""); // they may be credentials, so nothing keeps them
  const typed = { ...typedOf(inAddress), headers };
  const [problem, setProblem] = useState("");
  const [shown, setShown] = useState(filters);
  if (shown !== filters) {
    setShown(filters);
    setInAddress(filtersOf(typedOf(filters)));
  }
  const field = (name: keyof Typed) => ({
    value: typed[name],
    onValue: (value: string) => setInAddress({ ...inAddress, [name]: value }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    try {
      requestOf(typed);
      setProblem("");
      onAsk(typed);
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return (
    <form className={styles.form} onSubmit={submit} aria-label="Request to explain">
      <fieldset className={styles.group}>
        <legend>Who</legend>
        <TextField label="Caller" {...field("user")} placeholder="without a token" hint="The sub of the token." />
        <TextField label="Address" {...field("ip")} placeholder="127.0.0.1" />
        <LinesField
          label="Claims"
          {...field("claims")}
          placeholder="plan: gold"
          hint="One on each line, name: value."
        />
      </fieldset>
      <fieldset className={styles.group}>
        <legend>Which request</legend>
        <TextField label="Method" {...field("method")} placeholder="GET" list={METHODS} />
        <TextField label="Path" {...field("path")} placeholder="/" />
        <LinesField
          label="Headers"
          value={headers}
          onValue={setHeaders}
          placeholder="X-Cost: 5"
          hint="Those by which rules count. They stay out of the address, as they may be credentials."
        />
      </fieldset>
      <div className={styles.actions}>
        <Button type="submit" kind="primary">
          Explain
        </Button>
        {problem && (
          <span role="alert" className={styles.problem}>
            {problem}
          </span>
        )}
      </div>
    </form>
  );
}

type FieldProps = {
  label: string;
  value: string;
  onValue: (value: string) => void;
  placeholder: string;
  hint?: string;
};

function TextField({ label, value, onValue, placeholder, hint, list }: FieldProps & { list?: readonly string[] }) {
  const listId = useId();
  return (
    <Field label={label} hint={hint}>
      {(named) => (
        <>
          <input
            {...named}
            value={value}
            placeholder={placeholder}
            list={list && listId}
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => onValue(event.target.value)}
          />
          {list && (
            <datalist id={listId}>
              {list.map((one) => (
                <option key={one} value={one} />
              ))}
            </datalist>
          )}
        </>
      )}
    </Field>
  );
}

function LinesField({ label, value, onValue, placeholder, hint }: FieldProps) {
  return (
    <Field label={label} hint={hint}>
      {(named) => (
        <textarea
          {...named}
          rows={2}
          value={value}
          placeholder={placeholder}
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => onValue(event.target.value)}
        />
      )}
    </Field>
  );
}

type Named = Pick<HTMLAttributes<HTMLElement>, "id" | "aria-describedby">;

function Field({ label, hint, children }: { label: string; hint?: string; children: (named: Named) => ReactNode }) {
  const id = useId();
  const hintId = useId();
  return (
    <div className={styles.field}>
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-describedby": hint && hintId })}
      {hint && (
        <span id={hintId} className={styles.hint}>
          {hint}
        </span>
      )}
    </div>
  );
}
