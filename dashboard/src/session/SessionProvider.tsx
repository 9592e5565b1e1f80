import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, use, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { type Api, bodyOf, createApi } from "../api/client";
import { Drafts } from "../drafts/drafts";
import { DraftsContext } from "../drafts/useDraft";
import { continues, includes, type Role, type Session, storedSession, storeSession } from "./session";

/** `hasEnded`: the token is refused, and who was signed in is asked for another one; what is shown stays meanwhile. */
type SignedIn = {
  session: Session | null;
  hasEnded: boolean;
  /** Rises when somebody else signs in, who gets nothing of what was shown and typed before. */
  visit: number;
  /** How often somebody has signed in again after the end of a session, and goes on. */
  continued: number;
};

type SessionState = Omit<SignedIn, "continued"> & {
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
  const [drafts] = useState(() => new Drafts());
  const state = useSignedIn(drafts);
  const { session, endSession } = state;
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
  return (
    <SessionContext value={state}>
      <ApiContext value={api}>
        <DraftsContext value={drafts}>{children}</DraftsContext>
      </ApiContext>
    </SessionContext>
  );
}

function useSignedIn(drafts: Drafts): SessionState {
  const [signedIn, setSignedIn] = useState<SignedIn>(atFirst);
  const queries = useQueryClient();
  const current = useRef(signedIn);
  const change = useCallback((changes: Partial<SignedIn>) => {
    current.current = { ...current.current, ...changes };
    const { session, hasEnded } = current.current;
    storeSession(hasEnded ? null : session);
    setSignedIn(current.current);
  }, []);
  const signOut = useCallback(() => {
    queries.clear();
    drafts.forgetKept();
    change({ session: null, hasEnded: false });
  }, [change, drafts, queries]);
  const endSession = useCallback(
    (token: string) => {
      if (current.current.session?.token === token) {
        change({ hasEnded: true });
      }
    },
    [change],
  );
  const signIn = useCallback(
    async (token: string) => {
      const next = await operatorOf(token);
      const { session, visit, continued } = current.current;
      if (session !== null && continues(session, next)) {
        drafts.forgetKept();
        change({ session: next, hasEnded: false, continued: continued + 1 });
      } else {
        queries.clear(); // another operator may be allowed to see less
        drafts.giveBack(next.name);
        change({ session: next, hasEnded: false, visit: visit + 1 });
      }
    },
    [change, drafts, queries],
  );
  const { session, hasEnded, visit, continued } = signedIn;
  useEffect(() => {
    if (continued > 0) {
      void queries.invalidateQueries(); // what was refused is asked again, with the new token
    }
  }, [queries, continued]);
  return useMemo(
    () => ({ session, hasEnded, visit, signIn, signOut, endSession }),
    [session, hasEnded, visit, signIn, signOut, endSession],
  );
}

function atFirst(): SignedIn {
  return { session: storedSession(), hasEnded: false, visit: 0, continued: 0 };
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
