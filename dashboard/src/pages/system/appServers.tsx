import type { Status } from "../../live/events";
import { Badge } from "../../parts/Badge";
import { counted } from "../../parts/numbers";
import type { Column } from "../../parts/Table";

type AppServer = Status["app_servers"][number];

/** The columns of the app servers, with the circuit breakers of all processes that send to them. */
export const APP_SERVER_COLUMNS: readonly Column<AppServer>[] = [
  { name: "app_server", heading: "App server", cell: (server) => <strong>{server.app_server}</strong> },
  { name: "breakers", heading: "Circuit breakers", cell: (server) => <Breakers server={server} /> },
];

function Breakers({ server: { breakers, breakers_open: open } }: { server: AppServer }) {
  return open === 0 ? (
    <>
      <Badge tone="good">closed</Badge> in all of {counted(breakers, "process", "processes")}
    </>
  ) : (
    <>
      <Badge tone="bad">open</Badge> in {open} of {counted(breakers, "process", "processes")}: nothing is sent there
      until a probe is answered
    </>
  );
}
