import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { bodyOf, type Schemas } from "../../api/client";
import { useRefetchInterval } from "../../live/LiveProvider";
import { Badge } from "../../parts/Badge";
import { rateInWords } from "../../parts/flows/rates";
import { Empty, ErrorNotice } from "../../parts/Notice";
import { Pager } from "../../parts/Pager";
import { type Column, Table } from "../../parts/Table";
import { useApi, useMay } from "../../session/SessionProvider";
import { Moment } from "../../time/Moment";
import { links } from "../../urls/links";
import { RemoveSetting } from "./RemoveSetting";

type Setting = Schemas["FlowSettings"];

/** How often they are asked again at most, in milliseconds. */
const SHORTEST_INTERVAL_MS = 5000;

const COLUMNS: readonly Column<Setting>[] = [
  {
    name: "caller",
    heading: "Caller",
    cell: (setting) => (
      <Link href={links.flows({ rule_id: setting.rule_id, descriptor: setting.descriptor })}>{setting.descriptor}</Link>
    ),
  },
  {
    name: "rule",
    heading: "Rule",
    cell: (setting) => <Link href={links.rule(setting.rule_id)}>{setting.rule_id}</Link>,
  },
  {
    name: "set",
    heading: "What is set",
    cell: (setting) => (
      <>
        {setting.paused && (
          <div>
            <Badge tone="warn">paused</Badge> <Until at={setting.paused_until} />
          </div>
        )}
        {setting.rate && (
          <div>
            {rateInWords(setting.rate)} <Until at={setting.rate_until} />
          </div>
        )}
      </>
    ),
  },
  {
    name: "by",
    heading: "By",
    cell: (setting) => (
      <>
        {setting.changed_by ?? "–"} <Moment at={setting.changed_at} only="relative" />
      </>
    ),
  },
];

const ACTIONS: Column<Setting> = {
  name: "actions",
  heading: "Actions",
  cell: (setting) => <RemoveSetting setting={setting} />,
};

function Until({ at }: { at: string | null }) {
  return (
    at !== null && (
      <>
        until <Moment at={at} />
      </>
    )
  );
}

/** What operators have set for flows, also for callers that have no jobs and rules that are gone, and how to remove it. */
export function FlowSettings() {
  const api = useApi();
  const may = useMay("operator");
  const [after, setAfter] = useState("");
  const interval = useRefetchInterval();
  const settings = useQuery({
    queryKey: ["flow-settings", after],
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/v1/flow-settings", { params: { query: after ? { after: Number(after) } : {} }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: interval === false ? false : Math.max(interval, SHORTEST_INTERVAL_MS),
  });
  return (
    <>
      <ErrorNotice error={settings.error} doing="read what is set for flows" />
      {settings.data && (
        <>
          <Table
            caption="What is set for flows"
            columns={may ? [...COLUMNS, ACTIONS] : COLUMNS}
            rows={settings.data.settings}
            keyOf={(setting) => setting.id}
            empty={<Empty title="No caller is paused by itself, and none has a rate of its own." />}
          />
          <Pager after={after} next={settings.data.next?.toString()} onPage={setAfter} />
        </>
      )}
    </>
  );
}
