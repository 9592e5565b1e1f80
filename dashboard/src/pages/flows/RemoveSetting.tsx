import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Schemas } from "../../api/client";
import { Button } from "../../parts/Button";
import { ConfirmDialog } from "../../parts/ConfirmDialog";
import { useSay } from "../../parts/ToastProvider";
import { useApi } from "../../session/SessionProvider";

/** Removes what is set for a caller's flows: they drain as their rule says. */
export function RemoveSetting({ setting }: { setting: Schemas["FlowSettings"] }) {
  const [asking, setAsking] = useState(false);
  const api = useApi();
  const queries = useQueryClient();
  const say = useSay();
  const path = { params: { path: { flow_id: setting.id } } };
  const remove = async () => {
    if (setting.rate !== null) {
      await api.DELETE("/v1/flows/{flow_id}/rate", path);
    }
    if (setting.paused) {
      await api.POST("/v1/flows/{flow_id}/resume", path);
    }
    await queries.invalidateQueries();
    say(`${setting.descriptor} drains as ${setting.rule_id} says.`);
  };
  return (
    <>
      <Button aria-label={`Remove what is set for ${setting.descriptor}`} onClick={() => setAsking(true)}>
        Remove
      </Button>
      {asking && (
        <ConfirmDialog title="Remove what is set?" action="Remove" onConfirm={remove} onClose={() => setAsking(false)}>
          <p>
            The flows of <strong>{setting.descriptor}</strong> drain as the rule <strong>{setting.rule_id}</strong> says
            {setting.paused && ", and are paused no more"}.
          </p>
        </ConfirmDialog>
      )}
    </>
  );
}
