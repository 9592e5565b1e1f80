import { Page } from "../../parts/Page";

/** Says which rules a request meets. */
export function ExplainPage() {
  return (
    <Page title="Explain">
      <p>This page is being built.</p>
    </Page>
  );
}
