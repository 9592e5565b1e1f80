import { useState } from "react";
import { Button } from "../../parts/Button";
import { ConfirmDialog } from "../../parts/ConfirmDialog";
import { useSay } from "../../parts/ToastProvider";
import { useApi } from "../../session/SessionProvider";
import { Differences } from "./Differences";
import type { Rule, StoredRule } from "./rule";
import { useRulesChanged } from "./useRule";

type RestoreVersionProps = { ruleId: string; version: Rule; current: StoredRule | null };

/** Writes a rule as it was in a version, if the rule is still as it was shown; `current` is null where it is gone. */
export function RestoreVersion({ ruleId, version, current }: RestoreVersionProps) {
  const [asked, setAsked] = useState<{ current: StoredRule | null } | null>(null);
  const api = useApi();
  const say = useSay();
  const changed = useRulesChanged();
  const number = version.version ?? 1;
  const restore = async (etag: string | undefined) => {
    const header = etag === undefined ? {} : { "If-Match": etag };
    const params = { path: { rule_id: ruleId }, header };
    await api.POST("/v1/rules/{rule_id}/restore", { params, body: { version: number } }).finally(changed);
    say(`The rule ${ruleId} is as it was in version ${number}.`);
  };
  return (
    <>
      <Button onClick={() => setAsked({ current })}>Restore version {number}…</Button>
      {asked && (
        <ConfirmDialog
          title={`Restore version ${number} of ${ruleId}`}
          action="Restore"
          onConfirm={() => restore(asked.current?.etag)}
          onClose={() => setAsked(null)}
        >
          <p>It becomes a new version. What changes:</p>
          <Differences from={asked.current?.rule ?? null} to={version} />
        </ConfirmDialog>
      )}
    </>
  );
}
