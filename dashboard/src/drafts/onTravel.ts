/** What is used of the Navigation API, which the DOM types of TypeScript 5.9 lack. */
type NavigateEvent = Event & {
  navigationType: "push" | "replace" | "reload" | "traverse";
  destination: { url: string; key: string; sameDocument: boolean };
};
type Navigation = EventTarget & { traverseTo: (key: string) => { finished: Promise<unknown> } };

/**
 * Calls `mayGo` when the person goes back or forward within the dashboard, with the address and a function that goes
 * there after all. Where it returns false the page stays. Browsers without the Navigation API do not ask.
 */
export function onTravel(mayGo: (address: string, go: () => void) => boolean): () => void {
  const { navigation } = window as { navigation?: Navigation };
  const onNavigate = (event: Event) => {
    const { navigationType, destination, cancelable } = event as NavigateEvent;
    if (navigation === undefined || navigationType !== "traverse" || !destination.sameDocument || !cancelable) {
      return;
    }
    if (!mayGo(destination.url, () => void navigation.traverseTo(destination.key))) {
      event.preventDefault();
    }
  };
  navigation?.addEventListener("navigate", onNavigate);
  return () => navigation?.removeEventListener("navigate", onNavigate);
}
