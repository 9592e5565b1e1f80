import { useId } from "react";
import { parseJson, sameJson, writeJson } from "../../../api/json";
import { isRecord, messageOf } from "../../../api/problem";
import { useDraft } from "../../../drafts/useDraft";
import type { Fields } from "../rule";
import fieldStyles from "./fields.module.css";
import styles from "./form.module.css";

type JsonFormProps = {
  draft: Fields;
  /** null: the text is not the JSON of an object, so that it cannot be sent. */
  onChange: (draft: Fields | null) => void;
};

/** The draft as JSON, for who prefers that. Integers of any length stay as they are. */
export function JsonForm({ draft, onChange }: JsonFormProps) {
  const [text, setText] = useDraft("JSON of the rule", () => writeJson(draft, true));
  const id = useId();
  const read = readDraft(text);
  const problem = typeof read === "string" ? read : "";
  if (typeof read !== "string" && !sameJson(read, draft)) {
    setText(writeJson(draft, true)); // it was changed elsewhere, such as by a merge
  }
  const type = (typed: string) => {
    const found = readDraft(typed);
    setText(typed);
    onChange(typeof found === "string" ? null : found);
  };
  return (
    <div>
      <label htmlFor={id} className={fieldStyles.label}>
        The rule as JSON
      </label>
      <textarea
        id={id}
        className={styles.json}
        spellCheck={false}
        aria-invalid={problem !== ""}
        aria-describedby={`${id}-problem`}
        value={text}
        onChange={(event) => type(event.target.value)}
      />
      <div id={`${id}-problem`} className={fieldStyles.problem}>
        {problem}
      </div>
    </div>
  );
}

/** The fields that a text names, or what is wrong with it. */
function readDraft(text: string): Fields | string {
  try {
    const value = parseJson(text);
    return isRecord(value) ? value : "A rule is an object in braces.";
  } catch (error) {
    return messageOf(error);
  }
}
