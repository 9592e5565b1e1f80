import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { Fragment, type ReactNode, useEffect, useState } from "react";
import { Route, Switch } from "wouter";
import { baseUrl } from "./api/client";
import { ApiProblem } from "./api/problem";
import { GuardedRouter } from "./drafts/GuardedRouter";
import { Shell } from "./layout/Shell";
import { LiveProvider } from "./live/LiveProvider";
import { AuditPage } from "./pages/audit/AuditPage";
import { DeadLettersPage } from "./pages/dead-letters/DeadLettersPage";
import { ExplainPage } from "./pages/explain/ExplainPage";
import { FlowPage } from "./pages/flows/FlowPage";
import { FlowsPage } from "./pages/flows/FlowsPage";
import { JobPage } from "./pages/jobs/JobPage";
import { JobsPage } from "./pages/jobs/JobsPage";
import { NotFoundPage } from "./pages/NotFoundPage";
import { OperationPage } from "./pages/operations/OperationPage";
import { OperationsPage } from "./pages/operations/OperationsPage";
import { OverviewPage } from "./pages/overview/OverviewPage";
import { EditRulePage } from "./pages/rules/EditRulePage";
import { HistoryPage } from "./pages/rules/HistoryPage";
import { NewRulePage } from "./pages/rules/NewRulePage";
import { RulePage } from "./pages/rules/RulePage";
import { RulesPage } from "./pages/rules/RulesPage";
import { SystemPage } from "./pages/system/SystemPage";
import { ToastProvider } from "./parts/ToastProvider";
import { tokenOfArrival } from "./session/arrival";
import { SessionProvider, useSession } from "./session/SessionProvider";
import { SignInAgain } from "./session/SignInAgain";
import { SignInPage } from "./session/SignInPage";
import { TimeZoneProvider } from "./time/TimeZoneProvider";

/** The dashboard: who is signed in, what is live, and the page that the address names. */
export function App() {
  const [queries] = useState(createQueries);
  return (
    <QueryClientProvider client={queries}>
      <SessionProvider>
        <TimeZoneProvider>
          <ToastProvider>
            <GuardedRouter base={baseUrl().pathname.replace(/\/$/, "")}>
              <SignedIn>
                <LiveProvider>
                  <Shell>
                    <Pages />
                  </Shell>
                </LiveProvider>
              </SignedIn>
            </GuardedRouter>
          </ToastProvider>
        </TimeZoneProvider>
      </SessionProvider>
    </QueryClientProvider>
  );
}

/** What the admin API has refused is not asked again by itself; what could not be reached is. */
function createQueries(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        retry: (failures, error) => !(error instanceof ApiProblem) && failures < 1,
        refetchOnWindowFocus: false,
        networkMode: "always",
        staleTime: 500,
        gcTime: 60_000,
      },
      mutations: { networkMode: "always" },
    },
  });
}

function SignedIn({ children }: { children: ReactNode }) {
  const { session, hasEnded, visit, signIn } = useSession();
  const [arriving, setArriving] = useState(true);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    arrive(signIn)
      .catch(setError)
      .finally(() => setArriving(false));
  }, [signIn]);
  if (arriving) {
    return null;
  }
  if (session === null) {
    return <SignInPage error={error} />;
  }
  return (
    <>
      <Fragment key={visit}>{children}</Fragment>
      {hasEnded && <SignInAgain />}
    </>
  );
}

let arrival: Promise<string | null> | undefined;

async function arrive(signIn: (token: string) => Promise<void>): Promise<void> {
  arrival ??= tokenOfArrival(); // once a visit: a ticket works only once
  const token = await arrival;
  if (token !== null) {
    await signIn(token);
  }
}

function Pages() {
  return (
    <Switch>
      <Route path="/" component={OverviewPage} />
      <Route path="/rules" component={RulesPage} />
      <Route path="/rules/new" component={NewRulePage} />
      <Route path="/rules/id/:ruleId">{({ ruleId }) => <RulePage key={ruleId} ruleId={ruleId} />}</Route>
      <Route path="/rules/id/:ruleId/edit">{({ ruleId }) => <EditRulePage key={ruleId} ruleId={ruleId} />}</Route>
      <Route path="/rules/id/:ruleId/history">{({ ruleId }) => <HistoryPage key={ruleId} ruleId={ruleId} />}</Route>
      <Route path="/flows" component={FlowsPage} />
      <Route path="/flows/:flowId">{({ flowId }) => <FlowPage key={flowId} flowId={flowId} />}</Route>
      <Route path="/jobs" component={JobsPage} />
      <Route path="/jobs/:jobId">{({ jobId }) => <JobPage key={jobId} jobId={jobId} />}</Route>
      <Route path="/dead-letters" component={DeadLettersPage} />
      <Route path="/operations" component={OperationsPage} />
      <Route path="/operations/:operationId">
        {({ operationId }) => <OperationPage key={operationId} operationId={operationId} />}
      </Route>
      <Route path="/explain" component={ExplainPage} />
      <Route path="/audit" component={AuditPage} />
      <Route path="/system" component={SystemPage} />
      <Route component={NotFoundPage} />
    </Switch>
  );
}
