import { type ReactNode, useEffect, useEffectEvent, useId, useRef, useState } from "react";
import styles from "./FilterBar.module.css";
import { LabeledSelect } from "./LabeledSelect";

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

/** A filter by a text, applied when typing stops, and at once by Enter or when the field is left. */
export function TextFilter({ label, value, onChange, placeholder }: FilterProps & { placeholder?: string }) {
  const id = useId();
  const [text, setText] = useState(value);
  const applied = useRef(value);
  const apply = (typed: string) => {
    if (typed !== applied.current) {
      applied.current = typed;
      onChange(typed);
    }
  };
  const applyLater = useEffectEvent(apply);
  useEffect(() => {
    // What was applied comes back as the value, and must not replace what has been typed since.
    if (value !== applied.current) {
      applied.current = value;
      setText(value);
    }
  }, [value]);
  useEffect(() => {
    const timer = setTimeout(() => applyLater(text), WAIT_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <div className={styles.filter}>
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type="search"
        value={text}
        placeholder={placeholder}
        spellCheck={false}
        autoComplete="off"
        onChange={(event) => setText(event.target.value)}
        onBlur={(event) => apply(event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Enter" && apply(event.currentTarget.value)}
      />
    </div>
  );
}

/** A filter by one of several values; '' is no filter. */
export function ChoiceFilter(props: FilterProps & { choices: readonly (readonly [string, string])[] }) {
  return <LabeledSelect {...props} className={styles.filter} />;
}
