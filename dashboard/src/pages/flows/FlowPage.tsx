import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { bodyOf, type Schemas } from "../../api/client";
import { ApiProblem } from "../../api/problem";
import { useDraft } from "../../drafts/useDraft";
import { useRefetchInterval } from "../../live/LiveProvider";
import { FlowActions } from "../../parts/flows/FlowActions";
import { RateDialog } from "../../parts/flows/RateDialog";
import { Empty, ErrorNotice } from "../../parts/Notice";
import { Page, Section } from "../../parts/Page";
import { Requires } from "../../parts/Requires";
import { useApi } from "../../session/SessionProvider";
import { links } from "../../urls/links";
import { FlowFacts } from "./FlowFacts";
import { FlowSettings } from "./FlowSettings";
import { PurgeFlow } from "./PurgeFlow";
import { RemoveRates } from "./RemoveRates";

/** One flow: what waits in it, how fast it drains and why, and what can be done about it. */
export function FlowPage({ flowId }: { flowId: string }) {
  const api = useApi();
  const flow = useQuery({
    queryKey: ["flow", flowId],
    queryFn: ({ signal }) => bodyOf(api.GET("/v1/flows/{flow_id}", { params: { path: { flow_id: flowId } }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: useRefetchInterval(),
  });
  // The dialog stays when the flow becomes empty meanwhile; and it shows the flow as it was.
  const [rated, setRated] = useDraft<Schemas["Flow"] | null>("flow to rate", null);
  const isGone = flow.error instanceof ApiProblem && flow.error.status === 404;
  return (
    <>
      {isGone ? <GoneFlow /> : <LiveFlow flow={flow.data} error={flow.error} onRate={setRated} />}
      {rated && <RateDialog flow={rated} onClose={() => setRated(null)} />}
    </>
  );
}

type LiveFlowProps = {
  flow: Schemas["Flow"] | undefined;
  error: unknown;
  onRate: (flow: Schemas["Flow"]) => void;
};

function LiveFlow({ flow, error, onRate }: LiveFlowProps) {
  return (
    <Page
      title={flow ? `Queue of ${flow.caller}` : "Queue"}
      actions={flow && <Link href={links.jobs({ flow: flow.id })}>Jobs of this flow</Link>}
    >
      <ErrorNotice error={error} doing="read this flow" />
      {flow && (
        <>
          <FlowFacts flow={flow} />
          <Section title="What can be done">
            <Requires role="operator" to="change its rate, pause and purge it">
              <FlowActions flow={flow} onRate={onRate}>
                <RemoveRates flow={flow} />
                <PurgeFlow flow={flow} />
              </FlowActions>
            </Requires>
          </Section>
        </>
      )}
    </Page>
  );
}

function GoneFlow() {
  return (
    <Page title="Queue">
      <Empty title="This flow has no jobs.">
        All of them have ended, or were canceled. It appears again when a request of its caller is deferred.{" "}
        <Link href={links.flows()}>All flows</Link>
      </Empty>
      <Section title="Paused callers and rates of their own">
        <FlowSettings />
      </Section>
    </Page>
  );
}
