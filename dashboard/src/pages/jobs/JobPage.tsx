import { Page } from "../../parts/Page";

/** One job. */
export function JobPage({ jobId }: { jobId: string }) {
  return (
    <Page title={`Job ${jobId}`}>
      <p>This page is being built.</p>
    </Page>
  );
}
