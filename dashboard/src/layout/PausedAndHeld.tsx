import { Link } from "wouter";
import { useLive } from "../live/LiveProvider";
import { Badge } from "../parts/Badge";
import { counted } from "../parts/numbers";
import { links } from "../urls/links";

/** Says on every page what operators have paused and what app servers hold back, with links to where it is dealt with. */
export function PausedAndHeld() {
  const { status } = useLive();
  if (status === null) {
    return null;
  }
  const { flows, rules } = status;
  return (
    <>
      {(rules.paused ?? 0) > 0 && (
        <Link href={links.rules({ paused: "true" })}>
          <Badge tone="warn">{counted(rules.paused ?? 0, "rule")} paused</Badge>
        </Link>
      )}
      {(flows.paused ?? 0) > 0 && (
        <Link href={links.flows({ state: "paused" })}>
          <Badge tone="warn">{counted(flows.paused ?? 0, "caller")} paused</Badge>
        </Link>
      )}
      {flows.held > 0 && (
        <Link href={links.flows({ state: "held" })}>
          <Badge tone="warn">{counted(flows.held, "flow")} held</Badge>
        </Link>
      )}
    </>
  );
}
