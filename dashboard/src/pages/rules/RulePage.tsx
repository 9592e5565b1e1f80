import { Page } from "../../parts/Page";

/** One rule. */
export function RulePage({ ruleId }: { ruleId: string }) {
  return (
    <Page title={`Rule ${ruleId}`}>
      <p>This page is being built.</p>
    </Page>
  );
}
