import { useDraft, useUnsaved } from "../../drafts/useDraft";
import { Button } from "../../parts/Button";
import { ConfirmDialog } from "../../parts/ConfirmDialog";
import { quotaInWords } from "../../parts/quota";
import { useSay } from "../../parts/ToastProvider";
import { useApi } from "../../session/SessionProvider";
import { ForSeconds } from "./ForSeconds";
import styles from "./RulePage.module.css";
import { patchRule, type Rule, type StoredRule } from "./rule";
import { useRulesChanged } from "./useRule";

const TEN_MINUTES_S = 600;

/** Gives a rule another limit for a while; then it has its previous one again. Nothing for rules without a limit. */
export function LimitForAWhile({ stored }: { stored: StoredRule }) {
  const [asked, setAsked] = useDraft("limit for a while", false);
  const { rule } = stored;
  if (!rule.limit || rule.action === "block" || rule.action === "allow") {
    return null;
  }
  return (
    <>
      <Button onClick={() => setAsked(true)}>Another limit for a while…</Button>
      {asked && <LimitDialog stored={stored} rule={rule} onClose={() => setAsked(false)} />}
    </>
  );
}

type LimitDialogProps = { stored: StoredRule; rule: Rule; onClose: () => void };

/** The dialog keeps the rule as it was when it was opened, so that nobody changes what they have not seen. */
function LimitDialog({ stored, rule, onClose }: LimitDialogProps) {
  const [opened] = useDraft("limited rule", stored);
  const [limit, setLimit] = useDraft("limit", String(rule.limit));
  const [windowS, setWindowS] = useDraft("window", String(rule.window_seconds));
  const [forSeconds, setForSeconds] = useDraft<number | undefined>("limit for seconds", TEN_MINUTES_S);
  useUnsaved(limit !== String(rule.limit) || windowS !== String(rule.window_seconds));
  const api = useApi();
  const say = useSay();
  const changed = useRulesChanged();
  const apply = async () => {
    const patch = { limit: Number(limit), window_seconds: Number(windowS), burst: null };
    await patchRule(api, opened, patch, forSeconds).finally(changed);
    say(`The rule ${rule.rule_id} has another limit for a while.`);
  };
  return (
    <ConfirmDialog title={`Another limit for ${rule.rule_id}`} action="Apply" onConfirm={apply} onClose={onClose}>
      <p>Now {quotaInWords(rule)}. Afterwards the rule has that again by itself.</p>
      <div className={styles.fields}>
        <label>
          Requests
          <input type="number" min={1} required value={limit} onChange={(event) => setLimit(event.target.value)} />
        </label>
        <label>
          per seconds
          <input
            type="number"
            min={0.001}
            step="any"
            required
            value={windowS}
            onChange={(event) => setWindowS(event.target.value)}
          />
        </label>
      </div>
      <ForSeconds value={forSeconds} onChange={setForSeconds} />
    </ConfirmDialog>
  );
}
