import { type ReactNode, useEffect, useId, useState } from "react";
import styles from "./FilterBar.module.css";

/** The controls that filter a list, in a row that wraps. */
export function FilterBar({ label, children }: { label: string; children: ReactNode }) {
  return (
    <search className={styles.bar} aria-label={label}>
      {children}
    </search>
  );
}

type FilterProps = { label: string; value: string; onChange: (value: string) => void };

/** How long a text filter waits for more keys before it is applied, in milliseconds. */
const WAIT_MS = 300;

/** A filter by a text, applied when typing stops. */
export function TextFilter({ label, value, onChange, placeholder }: FilterProps & { placeholder?: string }) {
  const id = useId();
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) {
      return;
    }
    const timer = setTimeout(() => onChange(text), WAIT_MS);
    return () => clearTimeout(timer);
  }, [text, value, onChange]);
  return (
    <div className={styles.filter}>
      <label htmlFor={id}>{label}</label>
      <input id={id} type="search" value={text} placeholder={placeholder} onChange={(e) => setText(e.target.value)} />
    </div>
  );
}

/** A filter by one of several values; '' is no filter. */
export function ChoiceFilter({
  label,
  value,
  onChange,
  choices,
}: FilterProps & { choices: readonly (readonly [string, string])[] }) {
  const id = useId();
  return (
    <div className={styles.filter}>
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
