import { createContext, type ReactNode, use, useCallback, useEffect, useMemo, useState } from "react";
import { flushSync } from "react-dom";
import { type AroundNavHandler, Router } from "wouter";
import { LeaveDialog } from "./LeaveDialog";
import { onTravel } from "./onTravel";
import { useDrafts } from "./useDraft";

type Go = () => void;

const LeaveContext = createContext<(go: Go) => void>((go) => go());

/** Routes below `base`. Who leaves a page on which something is typed and not saved is asked first. */
export function GuardedRouter({ base, children }: { base: string; children: ReactNode }) {
  const drafts = useDrafts();
  const [asked, setAsked] = useState<{ go: Go } | null>(null);
  const leave = useCallback((go: Go) => (drafts.areUnsaved ? setAsked({ go }) : go()), [drafts]);
  const aroundNav = useMemo<AroundNavHandler>(
    () => (navigate, to, options) => {
      const go = () => navigate(to, options);
      isThisPage(to) ? go() : leave(go);
    },
    [leave],
  );
  useEffect(() => {
    const ask = (event: BeforeUnloadEvent) => drafts.areUnsaved && event.preventDefault();
    const resume = () => drafts.resume();
    window.addEventListener("beforeunload", ask);
    window.addEventListener("pageshow", resume);
    const stop = onTravel((address, go) => {
      const isAsked = drafts.areUnsaved && !isThisPage(address);
      if (isAsked) {
        setAsked({ go });
      }
      return !isAsked;
    });
    return () => {
      window.removeEventListener("beforeunload", ask);
      window.removeEventListener("pageshow", resume);
      stop();
    };
  }, [drafts]);
  const confirmed = () => {
    flushSync(() => setAsked(null)); // the dialog gives the focus back before the next page takes it
    drafts.abandon();
    asked?.go();
  };
  return (
    <Router base={base} aroundNav={aroundNav}>
      <LeaveContext value={leave}>{children}</LeaveContext>
      {asked && <LeaveDialog onStay={() => setAsked(null)} onLeave={confirmed} />}
    </Router>
  );
}

/** Does what leaves the page, such as signing out, once the person has agreed if something is not saved. */
export function useLeave(): (go: Go) => void {
  return use(LeaveContext);
}

/** Whether an address is of the page that is shown, with other filters perhaps. */
function isThisPage(address: string): boolean {
  return new URL(address, location.href).pathname === location.pathname;
}
