import { Page } from "../../parts/Page";

/** How the installation is. */
export function OverviewPage() {
  return (
    <Page title="Overview">
      <p>This page is being built.</p>
    </Page>
  );
}
