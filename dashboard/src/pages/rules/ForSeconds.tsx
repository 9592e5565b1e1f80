import { useId } from "react";

const CHOICES: readonly (readonly [number, string])[] = [
  [60, "for a minute"],
  [600, "for 10 minutes"],
  [3600, "for an hour"],
  [4 * 3600, "for 4 hours"],
  [86_400, "for a day"],
];

type ForSecondsProps = {
  /** undefined: for good. */
  value: number | undefined;
  onChange: (value: number | undefined) => void;
  /** How a change without an end is called; without it there must be an end. */
  forGood?: string;
};

/** How long a change lasts, after which the rule has its previous values again. */
export function ForSeconds({ value, onChange, forGood }: ForSecondsProps) {
  const id = useId();
  return (
    <p>
      <label htmlFor={id}>How long </label>
      <select
        id={id}
        value={value ?? ""}
        onChange={(event) => onChange(event.target.value === "" ? undefined : Number(event.target.value))}
      >
        {forGood !== undefined && <option value="">{forGood}</option>}
        {CHOICES.map(([seconds, text]) => (
          <option key={seconds} value={seconds}>
            {text}
          </option>
        ))}
      </select>
    </p>
  );
}
