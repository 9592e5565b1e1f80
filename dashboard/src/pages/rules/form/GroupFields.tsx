import { isRecord } from "../../../api/problem";
import { useDraft } from "../../../drafts/useDraft";
import { Badge } from "../../../parts/Badge";
import type { Fields } from "../rule";
import { CostField } from "./CostField";
import { useForm } from "./FormContext";
import styles from "./form.module.css";
import { type Group, isIn } from "./groups";
import { KeyField } from "./KeyField";
import { mayBeSecret } from "./key";
import { Members, SchemaField } from "./SchemaField";
import { labelOf, resolved, type Schema } from "./schema";

type GroupFieldsProps = {
  group: Group;
  schema: Schema;
  draft: Fields;
  /** Whether the rule has its id already. */
  named: boolean;
  onChange: (changes: Fields) => void;
};

/** A group of fields, which opens by itself where something in it is wrong. */
export function GroupFields({ group, schema, draft, named, onChange }: GroupFieldsProps) {
  const { problems } = useForm();
  const [open, setOpen] = useDraft(`group ${group.title}`, group.open === true);
  const wrong = Object.keys(problems).some((path) => isIn(group, path));
  const isSet = group.names.some((name) => draft[name] !== undefined && name !== "rule_id");
  const hidden = new Set(["key_value", ...(named ? ["rule_id"] : []), ...(mayBeSecret(draft) ? [] : ["secret"])]);
  const names = group.names.filter((name) => !hidden.has(name));
  return (
    <details className={styles.group} open={open || wrong} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className={styles.summary}>
        <h2>{group.title}</h2>
        {wrong ? <Badge tone="bad">Needs attention</Badge> : isSet && !group.open && <Badge tone="accent">Set</Badge>}
      </summary>
      <div className={styles.fields}>
        {names.map((name) => (
          <RuleField key={name} name={name} schema={schema} draft={draft} onChange={onChange} />
        ))}
      </div>
    </details>
  );
}

type RuleFieldProps = { name: string; schema: Schema; draft: Fields; onChange: (changes: Fields) => void };

/** One field of the rule. Those that are objects of their own and always there show their members. */
function RuleField({ name, schema, draft, onChange }: RuleFieldProps) {
  const { schemas } = useForm();
  const own = resolved(schema.properties?.[name] ?? {}, schemas);
  const value = draft[name];
  const set = (changed: unknown) => onChange({ [name]: changed });
  const field = { path: name, label: labelOf(name), schema: own, value, onChange: set };
  if (name === "key_type") {
    return <KeyField schema={schema} draft={draft} onChange={onChange} />;
  }
  if (name === "cost") {
    return <CostField {...field} />;
  }
  if (own.properties && isRecord(own.default)) {
    return <Members path={name} schema={own} value={value} onChange={(changed) => set(orNothing(changed))} />;
  }
  return <SchemaField {...field} />;
}

function orNothing(value: unknown): unknown {
  return isRecord(value) && Object.keys(value).length === 0 ? undefined : value;
}
