import { Badge } from "../../parts/Badge";
import { formatCount, formatRate } from "../../parts/numbers";
import { FilterText } from "../../parts/operations/FilterText";
import { hasEnded, type Operation, STATE_TONES, secondsLeft, wordsOfKind } from "../../parts/operations/words";
import { Facts } from "../../parts/Page";
import { formatDuration } from "../../time/format";
import { Moment } from "../../time/Moment";
import { useTime } from "../../time/TimeZoneProvider";

/** What an operation is about, how it goes, and who began it. */
export function OperationFacts({ operation }: { operation: Operation }) {
  const { done, skipped, total, rate_per_s, actual_rate_per_s, started_by, canceled_by } = operation;
  const deed = wordsOfKind(operation.kind).done;
  return (
    <Facts
      facts={[
        ["State", <State key="state" operation={operation} />],
        ["Of which", <FilterText key="filter" filter={operation.filter} none="all" />],
        ["Found when it began", `${total.is_exact ? "" : "about "}${formatCount(total.estimate)}`],
        [`${deed.charAt(0).toUpperCase()}${deed.slice(1)}`, formatCount(done)],
        ["Gone already", formatCount(skipped)],
        ["Rate", `${formatRate(actual_rate_per_s)}, at most ${formatRate(rate_per_s)}`],
        ["Started by", started_by],
        ["Started", <Moment key="started" at={operation.started_at ?? operation.created_at} />],
        ...(operation.ended_at ? [["Ended", <Moment key="ended" at={operation.ended_at} />] as const] : []),
        ...(canceled_by ? [["Canceled by", canceled_by] as const] : []),
      ]}
    />
  );
}

function State({ operation }: { operation: Operation }) {
  const { nowMs } = useTime();
  const leftS = hasEnded(operation) ? null : secondsLeft(operation, nowMs);
  return (
    <>
      <Badge tone={STATE_TONES[operation.state]}>{operation.state}</Badge>
      {leftS !== null && ` about ${formatDuration(Math.max(1, Math.round(leftS)))} left`}
    </>
  );
}
