import { createContext, type ReactNode, use, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { ApiProblem, messageOf } from "../api/problem";
import { useSession } from "../session/SessionProvider";
import { followStatus, type Status } from "./events";
import { type Sample, withSample } from "./history";

/** The choices of how often what is shown is renewed, in seconds. */
export const INTERVALS_S = [1, 2, 5, 10, 30] as const;

/** How the updates go: `live`; `connecting` at first and after a loss; `paused` by the viewer. */
export type Connection = "connecting" | "live" | "paused";

type LiveState = {
  connection: Connection;
  /** Why there are no updates, while there are none. */
  problem: string;
  status: Status | null;
  history: readonly Sample[];
  /** When the last status came, in milliseconds; null: none has come yet. */
  receivedAtMs: number | null;
  intervalS: number;
  setIntervalS: (intervalS: number) => void;
  paused: boolean;
  setPaused: (paused: boolean) => void;
};

const RECONNECT_MS = 1000;
const MAX_RECONNECT_MS = 10_000;
const KEY = "penstock.interval_s";
const LiveContext = createContext<LiveState | null>(null);

/** Follows the status of the installation once for all parts, while somebody is signed in. */
export function LiveProvider({ children }: { children: ReactNode }) {
  const [intervalS, setIntervalS] = useState(storedInterval);
  const [paused, setPaused] = useState(false);
  const feed = useStatusFeed(paused, intervalS);
  const chooseInterval = useCallback((chosen: number) => {
    localStorage.setItem(KEY, String(chosen));
    setIntervalS(chosen);
  }, []);
  const state = useMemo(
    () => ({ ...feed, intervalS, setIntervalS: chooseInterval, paused, setPaused }),
    [feed, intervalS, chooseInterval, paused],
  );
  return <LiveContext value={state}>{children}</LiveContext>;
}

type Received = { status: Status | null; history: readonly Sample[]; receivedAtMs: number | null };
const NOTHING: Received = { status: null, history: [], receivedAtMs: null };

function useStatusFeed(paused: boolean, intervalS: number) {
  const { session, signOut } = useSession();
  const [connection, setConnection] = useState<Connection>("connecting");
  const [problem, setProblem] = useState("");
  const [shown, setShown] = useState(NOTHING);
  const received = useRef(NOTHING);
  const token = session?.token;

  useEffect(() => {
    if (token === undefined) {
      received.current = NOTHING;
      setShown(NOTHING);
      return;
    }
    if (paused) {
      setConnection("paused");
      return;
    }
    const stop = new AbortController();
    const onStatus = (status: Status) => {
      received.current = {
        status,
        history: withSample(received.current.history, status),
        receivedAtMs: Date.now(),
      };
      setConnection("live");
      setProblem("");
      setShown((before) => (before.status === null ? received.current : before));
    };
    const onLost = (error: unknown) => {
      if (error instanceof ApiProblem && error.status === 401) {
        signOut("Your session has ended. Sign in again to go on.");
      }
      setConnection("connecting");
      setProblem(messageOf(error));
    };
    setConnection("connecting");
    void keepFollowing(token, onStatus, onLost, stop.signal);
    return () => stop.abort();
  }, [token, paused, signOut]);

  useEffect(() => {
    const timer = setInterval(() => setShown(received.current), intervalS * 1000);
    return () => clearInterval(timer);
  }, [intervalS]);
  return useMemo(() => ({ connection, problem, ...shown }), [connection, problem, shown]);
}

async function keepFollowing(
  token: string,
  onStatus: (status: Status) => void,
  onLost: (error: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  let waitMs = RECONNECT_MS;
  while (!signal.aborted) {
    try {
      await followStatus(
        token,
        (status) => {
          waitMs = RECONNECT_MS;
          onStatus(status);
        },
        signal,
      );
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      onLost(error);
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      waitMs = Math.min(waitMs * 2, MAX_RECONNECT_MS);
    }
  }
}

function storedInterval(): number {
  const stored = Number(localStorage.getItem(KEY));
  return INTERVALS_S.find((one) => one === stored) ?? 2;
}

export function useLive(): LiveState {
  const state = use(LiveContext);
  if (state === null) {
    throw new Error("There is no LiveProvider above this part.");
  }
  return state;
}

/** How often queries that follow what happens are asked again, in milliseconds; false while the viewer has paused. */
export function useRefetchInterval(): number | false {
  const { intervalS, paused } = useLive();
  return paused ? false : intervalS * 1000;
}
