import { isRecord } from "../../../api/problem";
import { type FieldProps, TypedField } from "./controls";
import { FieldSet } from "./FieldFrame";
import { useForm } from "./FormContext";
import styles from "./fields.module.css";
import { Members } from "./SchemaField";
import { resolved } from "./schema";
import { NUMBER } from "./typed";

/** What a request costs: a number, or what the request or its answer states. */
export function CostField(field: FieldProps) {
  const { schemas } = useForm();
  const { path, label, schema, value, onChange } = field;
  const [fixed = {}, stated = {}] = (schema.oneOf ?? []).map((one) => resolved(one, schemas));
  const isStated = isRecord(value);
  return (
    <FieldSet path={path} legend={label} description={schema.description}>
      <label className={styles.toggle}>
        <input type="checkbox" checked={isStated} onChange={() => onChange(isStated ? undefined : {})} /> Requests
        differ in what they cost
      </label>
      {isStated ? (
        <div className={styles.members}>
          <Members path={path} schema={stated} value={value} onChange={onChange} />
        </div>
      ) : (
        <TypedField {...field} label="Units" schema={{ ...fixed, default: 1 }} notation={NUMBER} />
      )}
    </FieldSet>
  );
}
