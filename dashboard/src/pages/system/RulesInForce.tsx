import { Link } from "wouter";
import type { Status } from "../../live/events";
import { Badge } from "../../parts/Badge";
import { formatCount } from "../../parts/numbers";
import { Facts } from "../../parts/Page";
import { Duration } from "../../time/Moment";
import { links } from "../../urls/links";

/** From which lag on sync is behind, in seconds. */
const BEHIND_S = 10;

/** Which version of the rules is published, and how far sync is behind MongoDB. */
export function RulesInForce({ rules }: { rules: Status["rules"] }) {
  const lag = rules.sync_lag_seconds;
  return (
    <Facts
      facts={[
        ["Published version", rules.version ?? "none"],
        [
          "Sync is behind MongoDB by at most",
          <span key="lag">
            <Duration seconds={lag} /> {lag !== null && lag > BEHIND_S && <Badge tone="bad">too far</Badge>}
          </span>,
        ],
        ["Documents that are not valid rules", <Count key="invalid" count={rules.invalid_documents} />],
        ["Paused rules", <Count key="paused" count={rules.paused} filter={{ paused: "true" }} />],
      ]}
    />
  );
}

function Count({ count, filter = {} }: { count: number | null; filter?: Record<string, string> }) {
  return count ? <Link href={links.rules(filter)}>{formatCount(count)}</Link> : formatCount(count);
}
