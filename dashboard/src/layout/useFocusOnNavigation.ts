import { useEffect, useLayoutEffect, useRef } from "react";

/**
 * Give the focus to the heading of a page that has come in place of another, so that keyboards and screen readers begin
 * there. The page is shown from its top, except after the browser's back and forward, which restore where one was.
 */
export function useFocusOnNavigation(path: string): void {
  const shown = useRef(path);
  const travelled = useRef(false);
  useEffect(() => {
    const onTravel = () => {
      travelled.current = true;
      setTimeout(() => {
        travelled.current = false;
      }); // the page is shown before that
    };
    addEventListener("popstate", onTravel, { capture: true });
    return () => removeEventListener("popstate", onTravel, { capture: true });
  }, []);
  useLayoutEffect(() => {
    if (shown.current === path) {
      return;
    }
    shown.current = path;
    const heading = document.querySelector<HTMLElement>("main h1") ?? document.getElementById("content");
    heading?.focus({ preventScroll: true });
    if (!travelled.current) {
      scrollTo(0, 0);
    }
  }, [path]);
}
