import { useState } from "react";
import { useLocation } from "wouter";
import { Button } from "../../parts/Button";
import { ConfirmDialog } from "../../parts/ConfirmDialog";
import { useSay } from "../../parts/ToastProvider";
import { useApi } from "../../session/SessionProvider";
import { links } from "../../urls/links";
import { useRulesChanged } from "./useRule";

/** Deletes a rule, once its id has been typed, and if it still has the ETag; null: whatever its document is. */
export function DeleteRule({ ruleId, etag }: { ruleId: string; etag: string | null }) {
  const [asked, setAsked] = useState(false);
  const api = useApi();
  const say = useSay();
  const changed = useRulesChanged();
  const [, navigate] = useLocation();
  const remove = async () => {
    const header = etag === null ? {} : { "If-Match": etag };
    await api.DELETE("/v1/rules/{rule_id}", { params: { path: { rule_id: ruleId }, header } });
    say(`The rule ${ruleId} is deleted.`);
    navigate(links.rules());
    void changed();
  };
  return (
    <>
      <Button kind="danger" onClick={() => setAsked(true)}>
        Delete…
      </Button>
      {asked && (
        <ConfirmDialog
          title={`Delete the rule ${ruleId}`}
          action="Delete"
          danger
          typed={ruleId}
          onConfirm={remove}
          onClose={() => setAsked(false)}
        >
          <p>
            Requests are no longer limited by it within a second. Jobs that wait are sent at the last rate, or fail, as
            its queue says. The history keeps its versions, so that it can be restored.
          </p>
        </ConfirmDialog>
      )}
    </>
  );
}
