import { Page } from "../../parts/Page";

/** The versions of a rule. */
export function HistoryPage({ ruleId }: { ruleId: string }) {
  return (
    <Page title={`History of rule ${ruleId}`}>
      <p>This page is being built.</p>
    </Page>
  );
}
