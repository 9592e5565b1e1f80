import { useEffect, useRef } from "react";
import { sameJson } from "../../api/json";
import type { Fields } from "./rule";

/** Has the browser ask before the tab is closed on a draft that is not saved. The function says that it is saved. */
export function useUnsaved(draft: Fields, saved: Fields): () => void {
  const isSaved = useRef(false);
  const isChanged = !sameJson(draft, saved);
  useEffect(() => {
    const ask = (event: BeforeUnloadEvent) => {
      if (isChanged && !isSaved.current) {
        event.preventDefault();
      }
    };
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, [isChanged]);
  return () => {
    isSaved.current = true;
  };
}
