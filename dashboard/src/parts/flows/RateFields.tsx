import { useId } from "react";
import type { Schemas } from "../../api/client";
import { LabeledSelect } from "../LabeledSelect";
import styles from "./RateDialog.module.css";
import { type Rate, type Target, WINDOWS } from "./rates";

export type RateForm = Rate & { forSeconds: number };

const DURATIONS: readonly (readonly [number, string])[] = [
  [600, "for 10 minutes"],
  [3600, "for 1 hour"],
  [86_400, "for 1 day"],
  [0, "until it is changed"],
];

type RateFieldsProps = {
  flow: Schemas["Flow"];
  hasRule: boolean;
  target: Target;
  onTarget: (target: Target) => void;
  form: RateForm;
  onForm: (changes: Partial<RateForm>) => void;
};

/** Asks for a rate, for whom, and for how long. */
export function RateFields({ flow, hasRule, target, onTarget, form, onForm }: RateFieldsProps) {
  return (
    <>
      <fieldset className={styles.targets}>
        <legend>Whose rate</legend>
        <TargetChoice of="flow" target={target} onTarget={onTarget}>
          <strong>{flow.caller}</strong> under the rule <strong>{flow.rule_id}</strong>
        </TargetChoice>
        {hasRule && (
          <TargetChoice of="rule" target={target} onTarget={onTarget}>
            each flow of the rule <strong>{flow.rule_id}</strong>
          </TargetChoice>
        )}
      </fieldset>
      <div className={styles.fields}>
        <NumberField label="Jobs" value={form.limit} onChange={(limit) => onForm({ limit })} />
        <ChoiceField
          label="in each"
          value={form.window_seconds}
          choices={withValue(WINDOWS, form.window_seconds)}
          onChange={(window_seconds) => onForm({ window_seconds })}
        />
        <ChoiceField
          label="How long"
          value={form.forSeconds}
          choices={DURATIONS}
          onChange={(forSeconds) => onForm({ forSeconds })}
        />
      </div>
    </>
  );
}

type TargetChoiceProps = {
  of: Target;
  target: Target;
  onTarget: (target: Target) => void;
  children: React.ReactNode;
};

function TargetChoice({ of, target, onTarget, children }: TargetChoiceProps) {
  return (
    <label className={styles.target}>
      <input type="radio" name="target" checked={target === of} onChange={() => onTarget(of)} />
      <span>{children}</span>
    </label>
  );
}

type FieldProps = { label: string; value: number; onChange: (value: number) => void };

function NumberField({ label, value, onChange }: FieldProps) {
  const id = useId();
  return (
    <div className={styles.field}>
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type="number"
        min={1}
        max={1_000_000_000}
        step={1}
        required
        value={Number.isNaN(value) ? "" : value}
        onChange={(event) => onChange(event.target.valueAsNumber)}
      />
    </div>
  );
}

function ChoiceField({
  choices,
  value,
  onChange,
  ...rest
}: FieldProps & { choices: readonly (readonly [number, string])[] }) {
  return (
    <LabeledSelect
      {...rest}
      className={styles.field}
      value={String(value)}
      choices={choices.map(([one, text]) => [String(one), text])}
      onChange={(chosen) => onChange(Number(chosen))}
    />
  );
}

/** The windows, with the one that is set if it is another. */
function withValue(windows: typeof WINDOWS, seconds: number): typeof WINDOWS {
  return windows.some(([one]) => one === seconds) ? windows : [...windows, [seconds, `${seconds} s`]];
}
