import { Page } from "../../parts/Page";

/** Searches jobs. */
export function JobsPage() {
  return (
    <Page title="Jobs">
      <p>This page is being built.</p>
    </Page>
  );
}
