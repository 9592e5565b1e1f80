import { Page } from "../../parts/Page";

/** Edits a rule. */
export function EditRulePage({ ruleId }: { ruleId: string }) {
  return (
    <Page title={`Edit rule ${ruleId}`}>
      <p>This page is being built.</p>
    </Page>
  );
}
