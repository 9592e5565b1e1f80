import { Page } from "../../parts/Page";

/** Processes and stores. */
export function SystemPage() {
  return (
    <Page title="System">
      <p>This page is being built.</p>
    </Page>
  );
}
