import { createContext, type ReactNode, use, useCallback, useEffect, useMemo, useState } from "react";
import { keepPreference, readPreference } from "../preferences";

export type Zone = "local" | "utc";

type TimeState = {
  zone: Zone;
  setZone: (zone: Zone) => void;
  /** The present, in milliseconds, read once a second for all parts at once. */
  nowMs: number;
};

const NAME = "zone";
const TimeContext = createContext<TimeState | null>(null);

/** The zone in which times are shown, and the present. */
export function TimeZoneProvider({ children }: { children: ReactNode }) {
  const [zone, setZone] = useState<Zone>(() => (readPreference(NAME) === "utc" ? "utc" : "local"));
  const [nowMs, setNowMs] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const choose = useCallback((chosen: Zone) => {
    keepPreference(NAME, chosen);
    setZone(chosen);
  }, []);
  const state = useMemo(() => ({ zone, setZone: choose, nowMs }), [zone, choose, nowMs]);
  return <TimeContext value={state}>{children}</TimeContext>;
}

export function useTime(): TimeState {
  const state = use(TimeContext);
  if (state === null) {
    throw new Error("There is no TimeZoneProvider above this part.");
  }
  return state;
}
