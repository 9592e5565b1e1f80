import { type ReactNode, useId } from "react";
import { useForm } from "./FormContext";
import styles from "./fields.module.css";
import { Prose } from "./Prose";
import { problemAt } from "./validate";

/** What a control needs so that its label, its explanation and its problem belong to it. */
export type ControlProps = { id: string; "aria-describedby": string; "aria-invalid": boolean };

type FieldFrameProps = {
  path: string;
  label: string;
  description?: string;
  /** Whether it shows also what is wrong within it, because nothing else does. */
  within?: boolean;
  children: (control: ControlProps) => ReactNode;
};

/** A control with its label, its explanation, and what is wrong with its value. */
export function FieldFrame({ path, label, description = "", within = false, children }: FieldFrameProps) {
  const { problems } = useForm();
  const id = useId();
  const problem = problemAt(problems, path, within);
  return (
    <div className={styles.field}>
      <label htmlFor={id} className={styles.label}>
        {label}
      </label>
      {children({ id, "aria-describedby": `${id}-problem ${id}-about`, "aria-invalid": problem !== undefined })}
      <div id={`${id}-problem`} className={styles.problem}>
        {problem && `${label}: ${problem}.`}
      </div>
      <div id={`${id}-about`} className={styles.about}>
        <Prose text={description} />
      </div>
    </div>
  );
}

type FieldSetProps = { path: string; legend: string; description?: string; children: ReactNode };

/** Several controls that belong together, with what is wrong with all of them at once. */
export function FieldSet({ path, legend, description = "", children }: FieldSetProps) {
  const { problems } = useForm();
  const problem = problemAt(problems, path);
  return (
    <fieldset className={styles.set}>
      <legend className={styles.label}>{legend}</legend>
      {description && (
        <div className={styles.about}>
          <Prose text={description} />
        </div>
      )}
      {problem && (
        <div className={styles.problem} role="alert">
          {legend}: {problem}.
        </div>
      )}
      {children}
    </fieldset>
  );
}
