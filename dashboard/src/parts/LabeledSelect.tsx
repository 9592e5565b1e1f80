import { useId } from "react";

type LabeledSelectProps = {
  label: string;
  value: string;
  /** Values with what is shown of them. */
  choices: readonly (readonly [string, string])[];
  onChange: (value: string) => void;
  className: string | undefined;
};

/** A choice of one of several values, with its label. */
export function LabeledSelect({ label, value, choices, onChange, className }: LabeledSelectProps) {
  const id = useId();
  return (
    <div className={className}>
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onChange(event.target.value)}>
        {choices.map(([one, text]) => (
          <option key={one} value={one}>
            {text}
          </option>
        ))}
      </select>
    </div>
  );
}
