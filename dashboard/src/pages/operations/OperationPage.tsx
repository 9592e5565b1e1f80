import { Page } from "../../parts/Page";

/** One operation. */
export function OperationPage({ operationId }: { operationId: string }) {
  return (
    <Page title={`Operation ${operationId}`}>
      <p>This page is being built.</p>
    </Page>
  );
}
