import { Button } from "../../../parts/Button";
import type { Fields } from "../rule";
import { FieldSet } from "./FieldFrame";
import { useForm } from "./FormContext";
import styles from "./fields.module.css";
import { FAMILIES, fieldsOfKey, hasName, isHash, type KeyPart, partsOfKey } from "./key";
import { Prose } from "./Prose";
import type { Schema } from "./schema";
import { problemAt } from "./validate";

const MAX_PARTS = 4;

type KeyFieldProps = { schema: Schema; draft: Fields; onChange: (changes: Fields) => void };

/** Who is counted: one key type with its value, or up to four of them together. */
export function KeyField({ schema, draft, onChange }: KeyFieldProps) {
  const { problems } = useForm();
  const parts = partsOfKey(draft);
  const set = (next: readonly KeyPart[]) => onChange(fieldsOfKey(next));
  const problem = problemAt(problems, "key_value", true);
  return (
    <FieldSet path="key_type" legend="Who is counted" description={schema.properties?.key_type?.description}>
      {parts.map((part, at) => (
        <KeyPartFields
          // biome-ignore lint/suspicious/noArrayIndexKey: a part is known by its place only
          key={at}
          number={parts.length > 1 ? ` ${at + 1}` : ""}
          part={part}
          secret={draft.secret === true}
          invalid={problem !== undefined}
          onChange={(changed) => set(parts.map((other, place) => (place === at ? changed : other)))}
          onRemove={parts.length > 1 ? () => set(parts.filter((_, place) => place !== at)) : undefined}
        />
      ))}
      <div className={styles.problem}>{problem && `Value: ${problem}.`}</div>
      <div className={styles.about}>
        <Prose text={schema.properties?.key_value?.description ?? ""} />
      </div>
      {parts.length < MAX_PARTS && parts[0]?.family !== "default" && (
        <Button onClick={() => set([...parts, { family: "ip", name: "", value: "*" }])}>
          Count by a further part as well
        </Button>
      )}
    </FieldSet>
  );
}

type KeyPartProps = {
  number: string;
  part: KeyPart;
  secret: boolean;
  invalid: boolean;
  onChange: (part: KeyPart) => void;
  onRemove?: () => void;
};

function KeyPartFields({ number, part, secret, invalid, onChange, onRemove }: KeyPartProps) {
  return (
    <div className={styles.members}>
      <label className={styles.field}>
        <span className={styles.label}>Count by{number}</span>
        <select value={part.family} onChange={(event) => onChange({ ...part, family: event.target.value })}>
          {FAMILIES.filter(([family]) => number === "" || family !== "default").map(([family, text]) => (
            <option key={family} value={family}>
              {text}
            </option>
          ))}
        </select>
      </label>
      {hasName(part.family) && (
        <label className={styles.field}>
          <span className={styles.label}>
            Name of the {part.family}
            {number}
          </span>
          <input value={part.name} spellCheck={false} onChange={(e) => onChange({ ...part, name: e.target.value })} />
        </label>
      )}
      {part.family !== "default" && (
        <ValueField number={number} part={part} secret={secret} invalid={invalid} onChange={onChange} />
      )}
      {onRemove && (
        <div className={styles.field}>
          <Button onClick={onRemove}>Remove part{number}</Button>
        </div>
      )}
    </div>
  );
}

/** The value of a part. That of a secret is never shown: neither its hash nor what is typed to replace it. */
function ValueField({ number, part, secret, invalid, onChange }: Omit<KeyPartProps, "onRemove">) {
  const isSecret = secret && part.family === "header" && part.value !== "*";
  const stored = isSecret && isHash(part.value);
  return (
    <label className={styles.field}>
      <span className={styles.label}>Value{number}</span>
      <input
        type={isSecret ? "password" : "text"}
        autoComplete={isSecret ? "new-password" : "off"}
        spellCheck={false}
        aria-invalid={invalid}
        placeholder={stored ? "stored; type to replace it" : "* for each of them"}
        value={stored ? "" : part.value}
        onChange={(event) => onChange({ ...part, value: event.target.value })}
      />
    </label>
  );
}
