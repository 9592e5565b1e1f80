import { Page } from "../../parts/Page";

/** The flows of all rules. */
export function FlowsPage() {
  return (
    <Page title="Queues">
      <p>This page is being built.</p>
    </Page>
  );
}
