import { baseUrl } from "../../api/client";
import { useLive } from "../../live/LiveProvider";
import { Empty, Notice } from "../../parts/Notice";
import { Page, Section } from "../../parts/Page";
import { Table } from "../../parts/Table";
import { APP_SERVER_COLUMNS } from "./appServers";
import { PROCESS_COLUMNS } from "./processes";
import { RulesInForce } from "./RulesInForce";
import { processRows } from "./rows";
import { STORE_COLUMNS } from "./stores";

/** The parts of the installation: processes, rules, stores, app servers. */
export function SystemPage() {
  const { status, problem } = useLive();
  return (
    <Page title="System" actions={<a href={new URL("docs", baseUrl()).href}>API documentation</a>}>
      {status === null ? (
        <Notice tone="quiet">{problem || "Looking…"}</Notice>
      ) : (
        <>
          {status.problems.length > 0 && (
            <Notice tone="bad" title="This is not as it should be:">
              {status.problems.map(({ text }) => (
                <div key={text}>{text}</div>
              ))}
            </Notice>
          )}
          <Section title="Processes">
            <Table
              caption="Processes"
              columns={PROCESS_COLUMNS}
              rows={processRows(status)}
              keyOf={({ process }) => process.id}
              empty={
                <Empty title="No process is known.">
                  They say in the cache Redis that they run; look whether it can be reached.
                </Empty>
              }
            />
          </Section>
          <Section title="Rules in force">
            <RulesInForce rules={status.rules} />
          </Section>
          <Section title="Stores">
            <Table
              caption="Stores"
              columns={STORE_COLUMNS}
              rows={status.stores}
              keyOf={(store) => store.store}
              empty={<Empty title="No store is known." />}
            />
          </Section>
          <Section title="App servers">
            <Table
              caption="App servers"
              columns={APP_SERVER_COLUMNS}
              rows={status.app_servers}
              keyOf={(server) => server.app_server}
              empty={<Empty title="No app server is known.">Edges and workers say which ones they send to.</Empty>}
            />
          </Section>
        </>
      )}
    </Page>
  );
}
