import { useId } from "react";
import { useLocation } from "wouter";
import { useDraft } from "../../drafts/useDraft";
import { Button } from "../../parts/Button";
import { links } from "../../urls/links";
import { jobIdIn } from "./jobFilters";
import styles from "./jobs.module.css";

/** Goes straight to a job whose id, or address, somebody has. */
export function FindById() {
  const id = useId();
  const [text, setText] = useDraft("job to find", "");
  const [, navigate] = useLocation();
  return (
    <form
      className={styles.find}
      onSubmit={(event) => {
        event.preventDefault();
        navigate(links.job(jobIdIn(text)));
      }}
    >
      <label htmlFor={id}>Job by its id or address</label>
      <input
        id={id}
        required
        autoComplete="off"
        spellCheck={false}
        value={text}
        placeholder="0-Bqt9iLEOU-PA_bgVush5IA"
        onChange={(event) => setText(event.target.value)}
      />
      <Button type="submit" kind="primary">
        Show the job
      </Button>
    </form>
  );
}
