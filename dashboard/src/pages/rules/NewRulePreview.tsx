import { useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { bodyOf } from "../../api/client";
import { sameJson } from "../../api/json";
import { ErrorNotice, Notice } from "../../parts/Notice";
import { useApi } from "../../session/SessionProvider";
import { PreviewPanel } from "./PreviewPanel";
import type { Fields, Rule } from "./rule";
import { limitInWords, whoInWords } from "./words";

/** How many rules for one value are offered at most. */
const MAX_OFFERED = 50;

/** Tries a rule that is new on the requests to another one that counts the same callers, or each of them. */
export function NewRulePreview({ fields }: { fields: Fields }) {
  const [chosen, setChosen] = useState("");
  const id = useId();
  const rules = useRulesToTryOn(fields);
  const trafficOf = rules.data?.find((rule) => rule.rule_id === chosen) ?? rules.data?.[0];
  if (rules.data === undefined) {
    return <ErrorNotice error={rules.error} doing="find rules on whose requests this one can be tried" />;
  }
  if (trafficOf === undefined) {
    return (
      <Notice tone="quiet" title="There is nothing to preview.">
        No rule counts these callers yet, so no requests of theirs are known. Save the rule as a shadow (under State and
        failure): it counts and refuses nothing, and can be previewed afterwards.
      </Notice>
    );
  }
  return (
    <>
      <p>
        <label htmlFor={id}>On the requests to the rule </label>
        <select id={id} value={trafficOf.rule_id} onChange={(event) => setChosen(event.target.value)}>
          {rules.data.map((rule) => (
            <option key={rule.rule_id} value={rule.rule_id}>
              {rule.rule_id} ({whoInWords(rule)}: {limitInWords(rule)})
            </option>
          ))}
        </select>
      </p>
      <PreviewPanel ruleId={String(fields.rule_id)} fields={fields} trafficOf={trafficOf.rule_id} />
    </>
  );
}

function useRulesToTryOn({ key_type, key_value }: Fields) {
  const api = useApi();
  return useQuery({
    queryKey: ["rules", "to try on", key_type, key_value],
    queryFn: async ({ signal }) => {
      const [type, value] = [key_type, key_value].map((one) => (Array.isArray(one) ? one[0] : one));
      const found = await Promise.all(
        // Rules for each caller, and those for the same one; among 100,000 rules the others are not read.
        valuesToLookFor(value).map((one) => {
          const query = { key_type: String(type), ...one, limit: MAX_OFFERED };
          return bodyOf(api.GET("/v1/rules", { params: { query }, signal }));
        }),
      );
      return found.flatMap(({ rules }) => rules).filter((rule) => mayBeTriedOn(rule, { key_type, key_value }));
    },
  });
}

function valuesToLookFor(value: unknown): { key_value?: string }[] {
  if (value === undefined) {
    return [{}];
  }
  return [...new Set(["*", String(value)])].map((key_value) => ({ key_value }));
}

/** Whether a rule counts the callers whom a draft counts, all of them or each by itself. */
export function mayBeTriedOn(rule: Pick<Rule, "key_type" | "key_value">, draft: Fields): boolean {
  const isSameType = sameJson(rule.key_type, draft.key_type);
  return isSameType && (rule.key_value === "*" || sameJson(rule.key_value ?? null, draft.key_value ?? null));
}
