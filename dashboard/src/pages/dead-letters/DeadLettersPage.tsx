import { Page } from "../../parts/Page";

/** Failed jobs that are kept. */
export function DeadLettersPage() {
  return (
    <Page title="Dead letters">
      <p>This page is being built.</p>
    </Page>
  );
}
