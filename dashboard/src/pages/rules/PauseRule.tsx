import { useDraft, useUnsaved } from "../../drafts/useDraft";
import { Button } from "../../parts/Button";
import { ConfirmDialog } from "../../parts/ConfirmDialog";
import { useSay } from "../../parts/ToastProvider";
import { useApi } from "../../session/SessionProvider";
import { ForSeconds } from "./ForSeconds";
import type { StoredRule } from "./rule";
import { useRulesChanged } from "./useRule";

/** Pauses a rule, for a while or until it is resumed, or resumes it. */
export function PauseRule({ stored }: { stored: StoredRule }) {
  const [asked, setAsked] = useDraft<StoredRule | null>("pause rule", null);
  return (
    <>
      <Button onClick={() => setAsked(stored)}>{nameOf(stored)} draining…</Button>
      {asked && <PauseDialog stored={asked} onClose={() => setAsked(null)} />}
    </>
  );
}

function nameOf({ rule }: StoredRule): string {
  return rule.paused ? "Resume" : "Pause";
}

function PauseDialog({ stored, onClose }: { stored: StoredRule; onClose: () => void }) {
  const [forSeconds, setForSeconds] = useDraft<number | undefined>("pause for seconds", undefined);
  useUnsaved(forSeconds !== undefined);
  const api = useApi();
  const say = useSay();
  const changed = useRulesChanged();
  const { rule, etag } = stored;
  const params = { path: { rule_id: rule.rule_id }, header: { "If-Match": etag } };
  const pause = async () => {
    const query = forSeconds === undefined ? {} : { for_seconds: forSeconds };
    await api.POST("/v1/rules/{rule_id}/drain/pause", { params: { ...params, query } }).finally(changed);
    say(`The rule ${rule.rule_id} is paused.`);
  };
  const resume = async () => {
    await api.POST("/v1/rules/{rule_id}/drain/resume", { params }).finally(changed);
    say(`The rule ${rule.rule_id} drains again.`);
  };
  return (
    <ConfirmDialog
      title={`${nameOf(stored)} the rule ${rule.rule_id}`}
      action={nameOf(stored)}
      onConfirm={rule.paused ? resume : pause}
      onClose={onClose}
    >
      {rule.paused ? (
        <p>The jobs that wait are sent again, at the permitted rate.</p>
      ) : (
        <>
          <p>Its flows go on accepting jobs, and none of them is sent.</p>
          <ForSeconds value={forSeconds} onChange={setForSeconds} forGood="until it is resumed" />
        </>
      )}
    </ConfirmDialog>
  );
}
