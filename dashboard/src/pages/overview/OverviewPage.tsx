import { Link } from "wouter";
import { useLive } from "../../live/LiveProvider";
import { FlowTable } from "../../parts/flows/FlowTable";
import { Empty, ErrorNotice, Notice } from "../../parts/Notice";
import { formatCount } from "../../parts/numbers";
import { Page, Section } from "../../parts/Page";
import { links } from "../../urls/links";
import { AttentionList } from "./AttentionList";
import { Charts } from "./Charts";
import { Figures } from "./Figures";
import { useDeepestFlows } from "./useDeepestFlows";

/** How the installation is: what needs attention first, then numbers, and the deepest flows with what can be done. */
export function OverviewPage() {
  const { status, problem } = useLive();
  const { data: page, error } = useDeepestFlows();
  return (
    <Page title="Overview">
      <Section title="What needs attention">
        {status ? <AttentionList status={status} /> : <Notice tone="quiet">{problem || "Looking…"}</Notice>}
      </Section>
      {status && <Figures status={status} />}
      <Section
        title="Deepest flows"
        actions={page && <Link href={links.flows()}>All flows ({formatCount(page.total)})</Link>}
      >
        <ErrorNotice error={error} doing="read the flows" />
        {page && (
          <FlowTable
            caption="The flows with the most jobs"
            flows={page.flows}
            empty={<Empty title="Nothing waits.">Flows appear here when requests are deferred.</Empty>}
          />
        )}
      </Section>
      <Section title="The last minutes">
        <Charts />
      </Section>
    </Page>
  );
}
