import { Page } from "../../parts/Page";

/** Creates a rule. */
export function NewRulePage() {
  return (
    <Page title="New rule">
      <p>This page is being built.</p>
    </Page>
  );
}
