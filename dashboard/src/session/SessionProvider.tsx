import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, use, useCallback, useMemo, useRef, useState } from "react";
import { type Api, bodyOf, createApi } from "../api/client";
import { includes, type Role, type Session, storedSession, storeSession } from "./session";

type SessionState = {
  session: Session | null;
  /** Why nobody is signed in any more. */
  reason: string;
  /** Rejects with ApiProblem where the token is refused. */
  signIn: (token: string) => Promise<void>;
  signOut: () => void;
  /** Ends the session whose token the admin API has refused, unless another one has begun meanwhile. */
  endSession: (token: string) => void;
};

const SessionContext = createContext<SessionState | null>(null);
const ApiContext = createContext<Api | null>(null);

/** Knows who is signed in, and gives the parts below a client of the admin API that acts for them. */
export function SessionProvider({ children }: { children: ReactNode }) {
  const [session, setSession] = useState(storedSession);
  const [reason, setReason] = useState("");
  const queries = useQueryClient();

  const current = useRef(session);
  const change = useCallback(
    (next: Session | null, why: string) => {
      current.current = next;
      storeSession(next);
      setSession(next);
      setReason(why);
      queries.clear(); // another operator may be allowed to see less
    },
    [queries],
  );
  const signOut = useCallback(() => change(null, ""), [change]);
  const endSession = useCallback(
    (token: string) => {
      if (current.current?.token === token) {
        change(null, "Your session has ended. Sign in again to go on.");
      }
    },
    [change],
  );
  const signIn = useCallback(async (token: string) => change(await operatorOf(token), ""), [change]);
  const api = useMemo(
    () =>
      createApi(
        session && {
          token: session.token,
          onRefused: () => endSession(session.token),
        },
      ),
    [session, endSession],
  );
  const state = useMemo(
    () => ({ session, reason, signIn, signOut, endSession }),
    [session, reason, signIn, signOut, endSession],
  );
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
