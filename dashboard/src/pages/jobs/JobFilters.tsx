import { Button } from "../../parts/Button";
import { ChoiceFilter, FilterBar, TextFilter } from "../../parts/FilterBar";
import { flowNameOf } from "../../parts/operations/words";
import { TimeFilter } from "../../parts/TimeFilter";
import type { Filters } from "../../urls/filters";
import { STATUS_CHOICES } from "./jobFilters";
import styles from "./jobs.module.css";

type JobFiltersProps = { filters: Filters; onChange: (changes: Filters) => void };

/** What filters the list of jobs. A flow and an owner come by links, so they are shown and can only be removed. */
export function JobFilters({ filters, onChange }: JobFiltersProps) {
  const value = (name: string) => filters[name] ?? "";
  const filter = (name: string) => ({ value: value(name), onChange: (text: string) => onChange({ [name]: text }) });
  return (
    <>
      <FilterBar label="Filter jobs">
        <ChoiceFilter label="Status" choices={STATUS_CHOICES} {...filter("status")} />
        <TextFilter label="Rule" placeholder="id of a rule" {...filter("rule_id")} />
        <TextFilter label="Caller" placeholder="user:alice, ip:192.0.2.1" {...filter("descriptor")} />
        <TextFilter label="Owner" placeholder="sub of the token" {...filter("subject")} />
        <TextFilter label="App server's status" placeholder="503" {...filter("response_status")} />
        <TimeFilter label="Accepted from" {...filter("submitted_after")} />
        <TimeFilter label="Accepted until" {...filter("submitted_before")} />
        <TimeFilter label="Ended from" {...filter("finished_after")} />
        <TimeFilter label="Ended until" {...filter("finished_before")} />
      </FilterBar>
      {(value("flow") || value("owner")) && (
        <div className={styles.chips}>
          {value("flow") && (
            <span>
              Only the flow <code>{flowNameOf(value("flow"))}</code>{" "}
              <Button onClick={() => onChange({ flow: "" })}>Show all flows</Button>
            </span>
          )}
          {value("owner") && (
            <span>
              Only the owner <code>{value("owner")}</code>{" "}
              <Button onClick={() => onChange({ owner: "" })}>Show all owners</Button>
            </span>
          )}
        </div>
      )}
    </>
  );
}
