import { Page } from "../../parts/Page";

/** All rules. */
export function RulesPage() {
  return (
    <Page title="Rules">
      <p>This page is being built.</p>
    </Page>
  );
}
