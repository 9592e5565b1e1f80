import { FieldFrame } from "./FieldFrame";
import styles from "./fields.module.css";
import { Prose } from "./Prose";
import type { Schema } from "./schema";
import { type Notation, useTyped } from "./typed";

export type FieldProps = {
  path: string;
  label: string;
  schema: Schema;
  value: unknown;
  /** undefined: the field is left out, so that its default counts. */
  onChange: (value: unknown) => void;
};

/** A field that is typed: a number, a text, or a list of words. */
export function TypedField({ notation, long, ...field }: FieldProps & { notation: Notation; long?: boolean }) {
  const { path, label, schema, value, onChange } = field;
  const [text, type] = useTyped(notation, value, onChange);
  return (
    <FieldFrame path={path} label={label} description={schema.description} within>
      {(control) =>
        long ? (
          <textarea {...control} rows={4} spellCheck={false} value={text} onChange={(e) => type(e.target.value)} />
        ) : (
          <input
            {...control}
            value={text}
            autoComplete="off"
            spellCheck={false}
            placeholder={placeholderOf(schema)}
            onChange={(event) => type(event.target.value)}
          />
        )
      }
    </FieldFrame>
  );
}

function placeholderOf({ default: unset }: Schema): string | undefined {
  const isPlain = typeof unset === "number" || typeof unset === "string";
  return isPlain ? `default: ${unset}` : undefined;
}

/** A field that has one of several values. */
export function ChoiceField({ path, label, schema, value, onChange }: FieldProps) {
  const unset = typeof schema.default === "string" ? schema.default : "";
  const chosen = typeof value === "string" ? value : unset;
  return (
    <FieldFrame path={path} label={label} description={schema.description}>
      {(control) => (
        <select
          {...control}
          value={chosen}
          onChange={(event) => onChange(event.target.value === unset ? undefined : event.target.value)}
        >
          {unset === "" && <option value="">default</option>}
          {(schema.enum ?? []).map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      )}
    </FieldFrame>
  );
}

/** A field that is on or off. */
export function SwitchField({ path, label, schema, value, onChange }: FieldProps) {
  const unset = schema.default === true;
  return (
    <div className={styles.switch}>
      <FieldFrame path={path} label={label} description={schema.description}>
        {(control) => (
          <input
            {...control}
            type="checkbox"
            checked={typeof value === "boolean" ? value : unset}
            onChange={(event) => onChange(event.target.checked === unset ? undefined : event.target.checked)}
          />
        )}
      </FieldFrame>
    </div>
  );
}

/** A field that is on, off, or left to a default that depends on other fields. */
export function MaybeField({ path, label, schema, value, onChange }: FieldProps) {
  return (
    <FieldFrame path={path} label={label} description={schema.description}>
      {(control) => (
        <select
          {...control}
          value={typeof value === "boolean" ? String(value) : ""}
          onChange={(event) => onChange(event.target.value === "" ? undefined : event.target.value === "true")}
        >
          <option value="">default</option>
          <option value="true">yes</option>
          <option value="false">no</option>
        </select>
      )}
    </FieldFrame>
  );
}

/** A field that has some of several values, in the order in which they are known. */
export function SeveralField({ label, schema, value, onChange }: FieldProps) {
  const chosen = Array.isArray(value) ? value : [];
  const known = schema.items?.enum ?? [];
  const toggle = (one: string) => {
    const next = known.filter((other) => (other === one) !== chosen.includes(other));
    onChange(next.length === 0 ? undefined : next);
  };
  return (
    <fieldset className={styles.several}>
      <legend className={styles.label}>{label}</legend>
      {known.map((one) => (
        <label key={one}>
          <input type="checkbox" checked={chosen.includes(one)} onChange={() => toggle(one)} /> {one}
        </label>
      ))}
      <div className={styles.about}>
        <Prose text={schema.description ?? ""} />
      </div>
    </fieldset>
  );
}
