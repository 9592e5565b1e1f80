import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { bodyOf } from "../../api/client";
import { ApiProblem } from "../../api/problem";
import { useRefetchInterval } from "../../live/LiveProvider";
import { Empty, ErrorNotice, Notice } from "../../parts/Notice";
import { Progress } from "../../parts/operations/Progress";
import { hasEnded, listOf, type Operation, wordsOfKind } from "../../parts/operations/words";
import { Page, Section } from "../../parts/Page";
import { useApi } from "../../session/SessionProvider";
import { links } from "../../urls/links";
import { CancelOperation } from "./CancelOperation";
import { ErrorsByKind } from "./ErrorsByKind";
import { OperationFacts } from "./OperationFacts";

/** One operation: how far it has come, how fast it goes, and what it could not do. */
export function OperationPage({ operationId }: { operationId: string }) {
  const operation = useOperation(operationId);
  const isUnknown = operation.error instanceof ApiProblem && operation.error.status === 404;
  return (
    <Page
      title={operation.data ? wordsOfKind(operation.data.kind).name : `Operation ${operationId}`}
      actions={operation.data && <CancelOperation operation={operation.data} />}
    >
      {isUnknown ? <NoSuchOperation /> : <ErrorNotice error={operation.error} doing="read the operation" />}
      {operation.data && !isUnknown && <OperationShown operation={operation.data} />}
    </Page>
  );
}

function useOperation(operationId: string) {
  const api = useApi();
  const interval = useRefetchInterval();
  return useQuery({
    queryKey: ["operation", operationId],
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/v1/operations/{operation_id}", { params: { path: { operation_id: operationId } }, signal })),
    refetchInterval: (query) => (query.state.data && hasEnded(query.state.data) ? false : interval),
  });
}

function OperationShown({ operation }: { operation: Operation }) {
  return (
    <>
      {operation.problem !== null && (
        <Notice tone={operation.state === "failed" ? "bad" : "warn"} title="What keeps it from going on">
          {operation.problem}
        </Notice>
      )}
      <Section title="Progress">
        <Progress operation={operation} />
      </Section>
      <OperationFacts operation={operation} />
      <Section title="Errors by kind">
        <ErrorsByKind operation={operation} />
      </Section>
      <p>
        <Link href={listOf(operation)}>Show what its filter finds now</Link>
      </p>
    </>
  );
}

function NoSuchOperation() {
  return (
    <Empty title="There is no such operation.">
      <p>Operations that have ended are kept for 30 days.</p>
      <Link href={links.operations()}>All operations</Link>
    </Empty>
  );
}
