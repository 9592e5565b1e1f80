import { Page } from "../../parts/Page";

/** Long work. */
export function OperationsPage() {
  return (
    <Page title="Operations">
      <p>This page is being built.</p>
    </Page>
  );
}
