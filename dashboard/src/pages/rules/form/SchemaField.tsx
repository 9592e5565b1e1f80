import { useRef } from "react";
import { isRecord } from "../../../api/problem";
import { Button } from "../../../parts/Button";
import { ChoiceField, type FieldProps, MaybeField, SeveralField, SwitchField, TypedField } from "./controls";
import { FieldSet } from "./FieldFrame";
import { useForm } from "./FormContext";
import styles from "./fields.module.css";
import { labelOf, membersOf, resolved, type Schema } from "./schema";
import { JSON_VALUE, NUMBER, TEXT, WORDS } from "./typed";

/** The control that fits the schema of a field. */
export function SchemaField(props: FieldProps) {
  const { schemas } = useForm();
  const field = { ...props, schema: resolved(props.schema, schemas) };
  const { schema } = field;
  if (schema.enum !== undefined) {
    return <ChoiceField {...field} />;
  }
  switch (schema.type) {
    case "integer":
    case "number":
      return <TypedField {...field} notation={NUMBER} />;
    case "string":
      return <TypedField {...field} notation={TEXT} />;
    case "boolean":
      return typeof schema.default === "boolean" ? <SwitchField {...field} /> : <MaybeField {...field} />;
    case "array":
      return <ListField {...field} />;
    default:
      return schema.properties ? <OptionalObject {...field} /> : <TypedField {...field} notation={JSON_VALUE} long />;
  }
}

function ListField(field: FieldProps) {
  const { schemas } = useForm();
  const items = resolved(field.schema.items ?? {}, schemas);
  if (items.enum !== undefined) {
    return <SeveralField {...field} />;
  }
  return items.properties ? <RepeatedObject {...field} items={items} /> : <TypedField {...field} notation={WORDS} />;
}

type MembersProps = { path: string; schema: Schema; value: unknown; onChange: (value: unknown) => void };

/** The members of an object, each with the control that fits it. */
export function Members({ path, schema, value, onChange }: MembersProps) {
  const object = isRecord(value) ? value : {};
  return membersOf(schema).map(([name, member]) => (
    <SchemaField
      key={name}
      path={`${path}.${name}`}
      label={labelOf(name)}
      schema={member}
      value={object[name]}
      onChange={(changed) => onChange(withMember(object, name, changed))}
    />
  ));
}

/** The object with another member; without it if that is undefined. */
export function withMember(object: Readonly<Record<string, unknown>>, name: string, value: unknown) {
  const { [name]: _, ...others } = object;
  return value === undefined ? others : { ...object, [name]: value };
}

/** An object that may be left out as a whole, such as a drain rate. */
function OptionalObject({ path, label, schema, value, onChange }: FieldProps) {
  const isSet = isRecord(value);
  return (
    <FieldSet path={path} legend={label} description={schema.description}>
      <label className={styles.toggle}>
        <input type="checkbox" checked={isSet} onChange={() => onChange(isSet ? undefined : {})} /> Set {lower(label)}
      </label>
      {isSet && (
        <div className={styles.members}>
          <Members path={path} schema={schema} value={value} onChange={onChange} />
        </div>
      )}
    </FieldSet>
  );
}

/** A list of objects, such as further limits, to which one can be added and from which each can be removed. */
function RepeatedObject({ path, label, schema, items, value, onChange }: FieldProps & { items: Schema }) {
  const list: readonly unknown[] = Array.isArray(value) ? value : [];
  const add = useRef<HTMLDivElement>(null);
  const set = (next: readonly unknown[]) => onChange(next.length === 0 ? undefined : next);
  const remove = (at: number) => {
    set(list.filter((_, other) => other !== at));
    add.current?.querySelector("button")?.focus(); // what had the focus is gone
  };
  return (
    <FieldSet path={path} legend={label} description={schema.description}>
      {list.map((one, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: an entry is known by its place only, as in the paths of problems
        <FieldSet key={at} path={`${path}.${at}`} legend={`${label} ${at + 1}`}>
          <div className={styles.members}>
            <Members
              path={`${path}.${at}`}
              schema={items}
              value={one}
              onChange={(changed) => set(list.map((other, place) => (place === at ? changed : other)))}
            />
          </div>
          <Button onClick={() => remove(at)}>
            Remove {lower(label)} {at + 1}
          </Button>
        </FieldSet>
      ))}
      <div ref={add}>
        <Button onClick={() => set([...list, {}])} disabled={list.length >= (schema.maxItems ?? list.length + 1)}>
          Add to {lower(label)}
        </Button>
      </div>
    </FieldSet>
  );
}

function lower(label: string): string {
  return label.charAt(0).toLowerCase() + label.slice(1);
}
