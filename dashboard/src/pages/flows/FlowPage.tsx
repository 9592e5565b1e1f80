import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { bodyOf } from "../../api/client";
import { ApiProblem } from "../../api/problem";
import { useRefetchInterval } from "../../live/LiveProvider";
import { FlowActions } from "../../parts/flows/FlowActions";
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
  const isGone = flow.error instanceof ApiProblem && flow.error.status === 404;
  if (isGone) {
    return <GoneFlow />;
  }
  return (
    <Page
      title={flow.data ? `Queue of ${flow.data.caller}` : "Queue"}
      actions={flow.data && <Link href={links.jobs({ flow: flowId })}>Jobs of this flow</Link>}
    >
      <ErrorNotice error={flow.error} doing="read this flow" />
      {flow.data && (
        <>
          <FlowFacts flow={flow.data} />
          <Section title="What can be done">
            <Requires role="operator" to="change its rate, pause and purge it">
              <FlowActions flow={flow.data}>
                <RemoveRates flow={flow.data} />
                <PurgeFlow flow={flow.data} />
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
