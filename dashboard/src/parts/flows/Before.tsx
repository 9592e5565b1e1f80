import type { Schemas } from "../../api/client";
import { formatDuration } from "../../time/format";
import { counted, formatRate } from "../numbers";
import styles from "./RateDialog.module.css";
import type { Outlook, Target } from "./rates";

type BeforeProps = { flow: Schemas["Flow"]; target: Target; outlook: Outlook };

/** What a rate would do to a flow, beside how it is now. Nothing has been changed yet. */
export function Before({ flow, target, outlook }: BeforeProps) {
  const isKnown = Number.isFinite(outlook.perSecond);
  return (
    <div aria-live="polite">
      <table className={styles.outlook}>
        <thead>
          <tr>
            <th scope="col">{target === "rule" ? `Of ${flow.caller}` : "What it does"}</th>
            <th scope="col">now</th>
            <th scope="col">then</th>
          </tr>
        </thead>
        <tbody>
          <tr>
            <th scope="row">permitted rate</th>
            <td>{formatRate(flow.permitted_per_second)}</td>
            <td>
              <strong>{isKnown ? formatRate(outlook.perSecond) : "–"}</strong>
            </td>
          </tr>
          <tr>
            <th scope="row">{counted(flow.waiting, "job")} waiting, empty in</th>
            <td>{duration(flow.eta_seconds)}</td>
            <td>
              <strong>{isKnown ? duration(outlook.etaSeconds) : "–"}</strong>
            </td>
          </tr>
        </tbody>
      </table>
      {outlook.why && <p>{outlook.why}</p>}
      {flow.state === "paused" && <p>It is paused, and nothing is sent until it is resumed.</p>}
      {flow.state === "held" && <p>The app server holds it back, whatever the rate.</p>}
    </div>
  );
}

function duration(seconds: number | null): string {
  return seconds === null ? "not known" : formatDuration(seconds);
}
