import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, use, useCallback, useMemo, useState } from "react";
import { type Api, bodyOf, createApi } from "../api/client";
import { includes, type Role, type Session, storedSession, storeSession } from "./session";

type SessionState = {
  session: Session | null;
  /** Why nobody is signed in any more. */
  reason: string;
  /** Rejects with ApiProblem where the token is refused. */
  signIn: (token: string) => Promise<void>;
  signOut: (reason?: string) => void;
};

const SessionContext = createContext<SessionState | null>(null);
const ApiContext = createContext<Api | null>(null);

/** Knows who is signed in, and gives the parts below a client of the admin API that acts for them. */
export function SessionProvider({ children }: { children: ReactNode }) {
  const [session, setSession] = useState(storedSession);
  const [reason, setReason] = useState("");
  const queries = useQueryClient();

  const signOut = useCallback(
    (why = "") => {
      storeSession(null);
      setSession(null);
      setReason(why);
      queries.clear();
    },
    [queries],
  );
  const signIn = useCallback(async (token: string) => {
    const operator = await operatorOf(token);
    storeSession(operator);
    setReason("");
    setSession(operator);
  }, []);
  const api = useMemo(
    () =>
      createApi(
        session && {
          token: session.token,
          onRefused: () => signOut("Your session has ended. Sign in again to go on."),
        },
      ),
    [session, signOut],
  );
  const state = useMemo(() => ({ session, reason, signIn, signOut }), [session, reason, signIn, signOut]);
  return (
    <SessionContext value={state}>
      <ApiContext value={api}>{children}</ApiContext>
    </SessionContext>
  );
}

async function operatorOf(token: string): Promise<Session> {
  const api = createApi({ token, onRefused: () => undefined });
  const { name, role, expires_at } = await bodyOf(api.GET("/v1/operator"));
  return { token, name, role, expiresAt: expires_at };
}

export function useSession(): SessionState {
  const state = use(SessionContext);
  if (state === null) {
    throw new Error("There is no SessionProvider above this part.");
  }
  return state;
}

/** A client of the admin API that acts for who is signed in. */
export function useApi(): Api {
  const api = use(ApiContext);
  if (api === null) {
    throw new Error("There is no SessionProvider above this part.");
  }
  return api;
}

/** Whether the operator may do what `required` may; what a role may not do is not offered. */
export function useMay(required: Role): boolean {
  const { session } = useSession();
  return session !== null && includes(session.role, required);
}
