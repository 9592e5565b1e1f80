import { writeJson } from "../../api/json";
import { JsonText } from "../../parts/JsonText";
import { editableFields, type Rule } from "./rule";

/** A rule as JSON, as it may be written again. */
export function RuleJson({ rule }: { rule: Rule }) {
  return (
    <details>
      <summary>As JSON</summary>
      <JsonText text={writeJson(editableFields(rule), true)} label={`Rule ${rule.rule_id} as JSON`} />
    </details>
  );
}
