import { createContext, type ReactNode, use, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { ApiProblem, messageOf } from "../api/problem";
import { keepPreference, readPreference } from "../preferences";
import { useApi, useSession } from "../session/SessionProvider";
import type { Status } from "./events";
import { type Sample, withGathered, withSample } from "./history";
import { keepFollowing } from "./keepFollowing";

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

const NAME = "interval_s";
const LiveContext = createContext<LiveState | null>(null);

/** Follows the status of the installation once for all parts, while somebody is signed in. */
export function LiveProvider({ children }: { children: ReactNode }) {
  const [intervalS, setIntervalS] = useState(storedInterval);
  const [paused, setPaused] = useState(false);
  const feed = useStatusFeed(paused, intervalS);
  const chooseInterval = useCallback((chosen: number) => {
    keepPreference(NAME, String(chosen));
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
  const { session, hasEnded, endSession } = useSession();
  const api = useApi();
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
    if (paused || hasEnded) {
      setConnection(paused ? "paused" : "connecting");
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
    const onConnected = async () => {
      const { data } = await api.GET("/v1/status/history", { signal: stop.signal });
      const { history } = received.current;
      received.current = { ...received.current, history: withGathered(history, data?.samples ?? []) };
      setShown(received.current);
    };
    const onLost = (error: unknown) => {
      if (error instanceof ApiProblem && error.status === 401) {
        endSession(token);
      }
      setConnection("connecting");
      setProblem(messageOf(error));
    };
    setConnection("connecting");
    const whenConnected = () => void onConnected().catch(() => {}); // charts begin with what comes
    void keepFollowing(token, { onConnected: whenConnected, onStatus, onLost }, stop.signal);
    return () => stop.abort();
  }, [token, hasEnded, paused, endSession, api]);

  useEffect(() => {
    const timer = setInterval(() => setShown(received.current), intervalS * 1000);
    return () => clearInterval(timer);
  }, [intervalS]);
  return useMemo(() => ({ connection, problem, ...shown }), [connection, problem, shown]);
}

function storedInterval(): number {
  const stored = Number(readPreference(NAME));
  return INTERVALS_S.find((one) => one === stored) ?? 2;
}

export function useLive(): LiveState {
  const state = use(LiveContext);
  if (state === null) {
    throw new Error("There is no LiveProvider above this part.");
  }
  return state;
}

/**
 * How often queries that follow what happens are asked again, in milliseconds; false while the viewer has paused, and
 * while the session has ended.
 */
export function useRefetchInterval(): number | false {
  const { intervalS, paused } = useLive();
  const { hasEnded } = useSession();
  return paused || hasEnded ? false : intervalS * 1000;
}
