import { useState } from "react";
import { Button } from "../../parts/Button";
import { ConfirmDialog } from "../../parts/ConfirmDialog";
import { Notice } from "../../parts/Notice";
import { quotaInWords } from "../../parts/quota";
import { Requires } from "../../parts/Requires";
import { useSay } from "../../parts/ToastProvider";
import { useApi } from "../../session/SessionProvider";
import { Moment } from "../../time/Moment";
import { type Fields, type InForce, patchRule, type StoredRule } from "./rule";
import { useRulesChanged } from "./useRule";

/** What is in force of a rule with a temporary value or a schedule, why, and what comes afterwards. */
export function InForceNotice({ stored }: { stored: StoredRule }) {
  const { in_force, temporary } = stored.rule;
  if (!in_force) {
    return null;
  }
  return (
    <Notice tone="accent" title={`In force now: ${inForceInWords(in_force)}.`}>
      {in_force.window !== null && `Window ${in_force.window + 1} of the schedule is open. `}
      {in_force.source === "rule" && "As the rule says outside the windows of its schedule. "}
      {in_force.until && (
        <>
          It changes by itself at <Moment at={in_force.until} />.
        </>
      )}
      {(temporary ?? []).map((change) => (
        <Ending key={Object.keys(change.previous).join()} stored={stored} change={change} />
      ))}
    </Notice>
  );
}

function inForceInWords({ limit, window_seconds, drain, paused }: InForce): string {
  const parts = [
    quotaInWords({ limit, window_seconds }),
    drain ? `drain rate ${quotaInWords(drain)}` : "",
    paused ? "paused" : "",
  ];
  return parts.filter((part) => part !== "").join(", ");
}

type Change = { until: string; previous: Fields };

/** A temporary value, what comes after it, and the way to end it now: to write the previous values for good. */
function Ending({ stored, change }: { stored: StoredRule; change: Change }) {
  const [asked, setAsked] = useState(false);
  const api = useApi();
  const say = useSay();
  const changed = useRulesChanged();
  const end = async () => {
    await patchRule(api, stored, change.previous).finally(changed);
    say(`The rule ${stored.rule.rule_id} has its previous values again.`);
  };
  return (
    <p>
      Temporary until <Moment at={change.until} />; then {previousInWords(change.previous)}.{" "}
      <Requires role="admin">
        <Button onClick={() => setAsked(true)}>End it now…</Button>
      </Requires>
      {asked && (
        <ConfirmDialog
          title="End the temporary value"
          action="End it now"
          onConfirm={end}
          onClose={() => setAsked(false)}
        >
          <p>The rule has at once what it would have later: {previousInWords(change.previous)}.</p>
        </ConfirmDialog>
      )}
    </p>
  );
}

/** The values that come back: `limit 5 per minute`, `no drain rate of its own`, `not paused`. */
export function previousInWords(previous: Fields): string {
  if ("paused" in previous) {
    return previous.paused ? "paused" : "not paused";
  }
  if ("drain" in previous) {
    return previous.drain ? `drain rate ${quotaInWords(previous.drain)}` : "no drain rate of its own";
  }
  if ("window_seconds" in previous) {
    return quotaInWords(previous) ? `limit ${quotaInWords(previous)}` : "no limit";
  }
  if ("concurrency" in previous) {
    return previous.concurrency ? `${previous.concurrency} at once` : "any number at once";
  }
  return "the previous further limits";
}
