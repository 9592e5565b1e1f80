import {
  createContext,
  type Dispatch,
  type SetStateAction,
  use,
  useCallback,
  useEffect,
  useRef,
  useState,
} from "react";
import type { Drafts } from "./drafts";

export const DraftsContext = createContext<Drafts | null>(null);

export function useDrafts(): Drafts {
  const drafts = use(DraftsContext);
  if (drafts === null) {
    throw new Error("There is no SessionProvider above this part.");
  }
  return drafts;
}

/**
 * A state, as of `useState`, that outlives a sign-in that leaves the page: for what a person types. It is kept in the
 * tab during such a sign-in, so it holds no credentials, and what JSON can hold. `field` is unique on the page.
 */
export function useDraft<T>(field: string, initial: T | (() => T)): [T, Dispatch<SetStateAction<T>>] {
  const drafts = useDrafts();
  const [value, setValue] = useState<T>(() => {
    const returned = drafts.returned(field);
    return returned !== undefined ? (returned as T) : initial instanceof Function ? initial() : initial;
  });
  useEffect(() => drafts.show(field, value), [drafts, field, value]);
  return [value, setValue];
}

/** Asks before a form that `isChanged` is left. The function that is returned says that it is saved. */
export function useUnsaved(isChanged: boolean): () => void {
  const drafts = useDrafts();
  const saved = useRef(() => {});
  useEffect(() => {
    if (!isChanged) {
      return;
    }
    saved.current = drafts.markUnsaved({});
    return saved.current;
  }, [drafts, isChanged]);
  return useCallback(() => saved.current(), []);
}
