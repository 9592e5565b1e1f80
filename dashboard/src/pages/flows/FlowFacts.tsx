import { Link } from "wouter";
import type { Schemas } from "../../api/client";
import { FlowState } from "../../parts/flows/FlowState";
import { rateInWords } from "../../parts/flows/rates";
import { formatBytes, formatCount, formatRate } from "../../parts/numbers";
import { Facts } from "../../parts/Page";
import { Duration, Moment } from "../../time/Moment";
import { links } from "../../urls/links";

/** What is known of a flow. */
export function FlowFacts({ flow }: { flow: Schemas["Flow"] }) {
  return (
    <Facts
      facts={[
        ["State", <FlowState key="state" flow={flow} />],
        ["Caller", flow.caller],
        ["Rule", <RuleLink key="rule" ruleId={flow.rule_id} />],
        ["Counted as", flow.descriptor],
        ["Jobs", `${formatCount(flow.depth)}, ${formatBytes(flow.bytes)}`],
        ["Waiting", formatCount(flow.waiting)],
        ["In flight", formatCount(flow.in_flight)],
        ["Backing off", formatCount(flow.backing_off)],
        ["Oldest", <Duration key="oldest" seconds={flow.oldest_age_seconds} />],
        ["Empty in", <Duration key="eta" seconds={flow.eta_seconds} />],
        ["Permitted rate", <Permitted key="permitted" flow={flow} />],
        ["Actual rate", <Actual key="actual" flow={flow} />],
        ["Rate of its own", flow.own_rate ? rateInWords(flow.own_rate) : "none: it drains as its rule says"],
        ...(flow.waits_for
          ? [["Waits for the limit of", <RuleLink key="waits" ruleId={flow.waits_for} />] as const]
          : []),
        ...(flow.held_until ? [["Held until", <Moment key="held" at={flow.held_until} />] as const] : []),
      ]}
    />
  );
}

function RuleLink({ ruleId }: { ruleId: string }) {
  return <Link href={links.rule(ruleId)}>{ruleId}</Link>;
}

function Permitted({ flow }: { flow: Schemas["Flow"] }) {
  return (
    <>
      {formatRate(flow.permitted_per_second)}
      {flow.permitted_by && (
        <>
          {" "}
          by <RuleLink ruleId={flow.permitted_by} />
        </>
      )}
    </>
  );
}

function Actual({ flow }: { flow: Schemas["Flow"] }) {
  return (
    <>
      {formatRate(flow.actual_per_second)}
      {flow.actual_over_seconds !== null && (
        <>
          {" "}
          over the last <Duration seconds={Math.round(flow.actual_over_seconds)} />
        </>
      )}
    </>
  );
}
