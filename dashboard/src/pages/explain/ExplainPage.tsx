import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { bodyOf } from "../../api/client";
import { useRefetchInterval } from "../../live/LiveProvider";
import { Empty, ErrorNotice } from "../../parts/Notice";
import { Page } from "../../parts/Page";
import { useApi } from "../../session/SessionProvider";
import { useFilters } from "../../urls/filters";
import { ExplainForm } from "./ExplainForm";
import { ExplanationView } from "./ExplanationView";
import { filtersOf, isAsked, requestOf, type Typed, typedOf } from "./request";

/** Says which rules a request meets, what is left of their limits, and what is decided. It spends nothing. */
export function ExplainPage() {
  const [filters, change] = useFilters();
  const [headers, setHeaders] = useState("");
  const asked = isAsked(filters);
  const ask = (typed: Typed) => {
    setHeaders(typed.headers);
    change(filtersOf({ ...typed, path: typed.path.trim() || "/" }));
  };
  return (
    <Page title="Explain">
      <p>
        Who sends which request, and what would an edge do with it now? The answer comes from the rules and counters
        that edges use, and spends nothing.
      </p>
      <ExplainForm filters={filters} onAsk={ask} />
      {asked ? (
        <Answer typed={{ ...typedOf(filters), headers }} />
      ) : (
        <Empty title="Nothing is asked yet.">
          Fill in what you know of the request and press Explain. What you leave empty has the value that is shown grey.
        </Empty>
      )}
    </Page>
  );
}

function Answer({ typed }: { typed: Typed }) {
  const api = useApi();
  const refetchInterval = useRefetchInterval();
  const explanation = useQuery({
    queryKey: ["explain", typed],
    queryFn: ({ signal }) => bodyOf(api.POST("/v1/explain", { body: requestOf(typed), signal })),
    refetchInterval,
    gcTime: 0, // headers may be credentials
  });
  return (
    <>
      <ErrorNotice error={explanation.error} doing="explain the request" />
      {explanation.data && !explanation.error && <ExplanationView explanation={explanation.data} />}
    </>
  );
}
