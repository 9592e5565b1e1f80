import { Page } from "../../parts/Page";

/** One flow. */
export function FlowPage({ flowId }: { flowId: string }) {
  return (
    <Page title={`Flow ${flowId}`}>
      <p>This page is being built.</p>
    </Page>
  );
}
