import { useQuery, useQueryClient } from "@tanstack/react-query";
import { bodyOf, type Schemas } from "../../api/client";
import { sameJson } from "../../api/json";
import { ApiProblem } from "../../api/problem";
import { useDraft, useUnsaved } from "../../drafts/useDraft";
import { useApi } from "../../session/SessionProvider";
import { formatDuration } from "../../time/format";
import { ConfirmDialog } from "../ConfirmDialog";
import { useSay } from "../ToastProvider";
import { Before } from "./Before";
import { RateFields } from "./RateFields";
import { type DrainRule, outlook, rateInWords, rateNow, type Target } from "./rates";

type Flow = Schemas["Flow"];

/** Changes how fast a flow drains, or all flows of its rule, and shows first what that does. */
export function RateDialog({ flow, onClose }: { flow: Flow; onClose: () => void }) {
  const { rule, isPending } = useRule(flow.rule_id);
  if (isPending) {
    return null;
  }
  return <LoadedRateDialog flow={flow} rule={rule} onClose={onClose} />;
}

const TEN_MINUTES_S = 600;

type LoadedProps = { flow: Flow; rule: DrainRule | null; onClose: () => void };

function LoadedRateDialog({ flow, rule, onClose }: LoadedProps) {
  const api = useApi();
  const queries = useQueryClient();
  const say = useSay();
  const [target, setTarget] = useDraft<Target>("whose rate", "flow");
  const atFirst = { ...rateNow(flow, rule, "flow"), forSeconds: TEN_MINUTES_S };
  const [form, setForm] = useDraft("rate", atFirst);
  useUnsaved(!sameJson(form, atFirst));
  const rate = { limit: form.limit, window_seconds: form.window_seconds };
  const whose = target === "flow" ? flow.caller : `all flows of ${flow.rule_id}`;
  const apply = async () => {
    await (target === "flow" ? setFlow() : setRule());
    await queries.invalidateQueries();
    const until = form.forSeconds > 0 ? ` for ${formatDuration(form.forSeconds)}` : "";
    say(`${whose}: ${rateInWords(rate)}${until}.`);
  };
  const setFlow = () =>
    api.PUT("/v1/flows/{flow_id}/rate", {
      params: { path: { flow_id: flow.id }, query: forQuery(form.forSeconds) },
      body: { ...rate, burst: flow.own_rate?.burst ?? 1 },
    });
  const setRule = () =>
    api.PUT("/v1/rules/{rule_id}/drain", {
      params: { path: { rule_id: flow.rule_id }, query: forQuery(form.forSeconds) },
      body: { ...rate, burst: rule?.drain?.burst ?? 1, concurrency: rule?.drain?.concurrency ?? null },
    });
  return (
    <ConfirmDialog title="Change the drain rate" action="Set the rate" onConfirm={apply} onClose={onClose}>
      <RateFields
        flow={flow}
        hasRule={rule !== null}
        target={target}
        onTarget={setTarget}
        form={form}
        onForm={(changes) => setForm({ ...form, ...changes })}
      />
      <Before flow={flow} target={target} outlook={outlook(flow, rule, target, rate)} />
    </ConfirmDialog>
  );
}

function forQuery(seconds: number): { for_seconds?: number } {
  return seconds > 0 ? { for_seconds: seconds } : {};
}

/** The rule of a flow; null where it is gone. */
function useRule(ruleId: string) {
  const api = useApi();
  const rule = useQuery({
    queryKey: ["rule", ruleId, "of its flows"],
    queryFn: async ({ signal }) => {
      try {
        return await bodyOf(api.GET("/v1/rules/{rule_id}", { params: { path: { rule_id: ruleId } }, signal }));
      } catch (error) {
        if (error instanceof ApiProblem && error.status === 404) {
          return null;
        }
        throw error;
      }
    },
  });
  return { rule: rule.data ?? null, isPending: rule.isPending };
}
