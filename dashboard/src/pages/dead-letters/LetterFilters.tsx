import { ChoiceFilter, FilterBar, TextFilter } from "../../parts/FilterBar";
import { TimeFilter } from "../../parts/TimeFilter";
import type { Filters } from "../../urls/filters";
import { CODE_CHOICES } from "./letterFilters";

type LetterFiltersProps = { filters: Filters; onChange: (changes: Filters) => void };

/** What filters the list of dead letters. */
export function LetterFilters({ filters, onChange }: LetterFiltersProps) {
  const filter = (name: string) => ({
    value: filters[name] ?? "",
    onChange: (text: string) => onChange({ [name]: text }),
  });
  return (
    <FilterBar label="Filter dead letters">
      <ChoiceFilter label="Why" choices={CODE_CHOICES} {...filter("code")} />
      <TextFilter label="Rule" placeholder="id of a rule" {...filter("rule_id")} />
      <TextFilter label="Caller" placeholder="user:alice, ip:192.0.2.1" {...filter("descriptor")} />
      <TextFilter label="App server's status" placeholder="503" {...filter("response_status")} />
      <TimeFilter label="Failed from" {...filter("failed_after")} />
      <TimeFilter label="Failed before" {...filter("failed_before")} />
    </FilterBar>
  );
}
