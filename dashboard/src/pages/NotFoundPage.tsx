import { Link } from "wouter";
import { Empty } from "../parts/Notice";
import { Page } from "../parts/Page";
import { links } from "../urls/links";

/** What stands at an address that names no page. */
export function NotFoundPage() {
  return (
    <Page title="There is no such page">
      <Empty title="The address names no page of the dashboard.">
        <Link href={links.overview()}>Go to the overview</Link>
      </Empty>
    </Page>
  );
}
