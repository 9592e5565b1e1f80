import { useEffect, useId, useState } from "react";
import { inputOfMoment, momentOfInput } from "../time/inputs";
import { useTime } from "../time/TimeZoneProvider";
import styles from "./FilterBar.module.css";

type TimeFilterProps = {
  label: string;
  /** A moment in ISO 8601; '' is no filter. */
  value: string;
  onChange: (value: string) => void;
};

/** A filter by a moment, typed in the zone in which times are shown, and kept in UTC. */
export function TimeFilter({ label, value, onChange }: TimeFilterProps) {
  const id = useId();
  const { zone } = useTime();
  const [text, setText] = useState(() => inputOfMoment(value, zone));
  useEffect(() => setText(inputOfMoment(value, zone)), [value, zone]);
  const type = (typed: string) => {
    setText(typed);
    const moment = typed === "" ? "" : momentOfInput(typed, zone);
    if (moment !== null) {
      onChange(moment);
    }
  };
  return (
    <div className={`${styles.filter} ${styles.wide}`}>
      <label htmlFor={id}>
        {label}
        {zone === "utc" && " (UTC)"}
      </label>
      <input id={id} type="datetime-local" step={1} value={text} onChange={(event) => type(event.target.value)} />
    </div>
  );
}
