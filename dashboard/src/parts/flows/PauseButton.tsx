import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Schemas } from "../../api/client";
import { messageOf } from "../../api/problem";
import { useApi } from "../../session/SessionProvider";
import { Button } from "../Button";
import { ConfirmDialog } from "../ConfirmDialog";
import { useSay } from "../ToastProvider";

type Flow = Schemas["Flow"];

/** Pauses a flow, or resumes what is paused: the flow by itself, or its whole rule, which is asked for first. */
export function PauseButton({ flow }: { flow: Flow }) {
  const [asking, setAsking] = useState(false);
  const { pauseFlow, resumeFlow, resumeRule, busy } = useFlowPauses(flow);
  if (flow.paused_by === "rule") {
    return (
      <>
        <Button aria-label={`Resume rule ${flow.rule_id}`} onClick={() => setAsking(true)}>
          Resume rule
        </Button>
        {asking && (
          <ConfirmDialog
            title={`Resume the rule ${flow.rule_id}?`}
            action="Resume the rule"
            onConfirm={resumeRule}
            onClose={() => setAsking(false)}
          >
            <p>All its flows drain again, and not only that of {flow.caller}.</p>
          </ConfirmDialog>
        )}
      </>
    );
  }
  const paused = flow.paused_by === "flow";
  return (
    <Button
      aria-label={`${paused ? "Resume" : "Pause"} ${flow.caller}`}
      disabled={busy}
      onClick={() => (paused ? resumeFlow() : pauseFlow())}
    >
      {paused ? "Resume" : "Pause"}
    </Button>
  );
}

function useFlowPauses(flow: Flow) {
  const api = useApi();
  const queries = useQueryClient();
  const say = useSay();
  const flowPath = { params: { path: { flow_id: flow.id } } };
  const change = useMutation({
    mutationFn: (action: "pause" | "resume") =>
      action === "pause"
        ? api.POST("/v1/flows/{flow_id}/pause", flowPath)
        : api.POST("/v1/flows/{flow_id}/resume", flowPath),
    onSuccess: async (_, action) => {
      await queries.invalidateQueries();
      say(action === "pause" ? `${flow.caller} is paused.` : `${flow.caller} drains again.`);
    },
    onError: (error) => say(`It could not be done. ${messageOf(error)}`),
  });
  const resumeRule = async () => {
    await api.POST("/v1/rules/{rule_id}/drain/resume", { params: { path: { rule_id: flow.rule_id } } });
    await queries.invalidateQueries();
    say(`The rule ${flow.rule_id} drains again.`);
  };
  return {
    pauseFlow: () => change.mutate("pause"),
    resumeFlow: () => change.mutate("resume"),
    resumeRule,
    busy: change.isPending,
  };
}
