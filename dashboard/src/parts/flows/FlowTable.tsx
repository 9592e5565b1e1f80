import { type ReactNode, useMemo } from "react";
import type { Schemas } from "../../api/client";
import { useDraft } from "../../drafts/useDraft";
import { useMay } from "../../session/SessionProvider";
import { Requires } from "../Requires";
import { type Column, Table } from "../Table";
import { FlowActions } from "./FlowActions";
import { FLOW_COLUMNS } from "./flowColumns";
import { RateDialog } from "./RateDialog";

type Flow = Schemas["Flow"];

type FlowTableProps = {
  caption: string;
  flows: readonly Flow[];
  empty: ReactNode;
  sort?: string;
  onSort?: (sort: string) => void;
};

/** Flows with their rates, and what an operator can do to each. */
export function FlowTable({ flows, ...rest }: FlowTableProps) {
  const may = useMay("operator");
  // The dialog belongs to the table, so that it stays when its flow leaves the list; and it shows the flow as it was.
  const [rated, setRated] = useDraft<Flow | null>("flow to rate", null);
  const columns = useMemo(() => (may ? [...FLOW_COLUMNS, actionsOf(setRated)] : FLOW_COLUMNS), [may, setRated]);
  return (
    <>
      <Table {...rest} columns={columns} rows={flows} keyOf={(flow) => flow.id} />
      <Requires role="operator" to="change rates, pause, resume and purge">
        {rated && <RateDialog flow={rated} onClose={() => setRated(null)} />}
      </Requires>
    </>
  );
}

function actionsOf(onRate: (flow: Flow) => void): Column<Flow> {
  return { name: "actions", heading: "Actions", cell: (flow) => <FlowActions flow={flow} onRate={onRate} /> };
}
