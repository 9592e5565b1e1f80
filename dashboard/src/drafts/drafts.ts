import { keepDrafts, takeDrafts } from "./keptDrafts";

/**
 * What is typed into the forms that are shown and not saved: whether leaving the page loses it, and what is brought back
 * after a sign-in that has left the page.
 */
export class Drafts {
  readonly #unsaved = new Set<object>();
  readonly #shown = new Map<string, unknown>();
  #isKept = false;
  #returned: { path: string; values: Map<string, unknown> } | null = null;

  /** Whether a form was changed that is not saved, unless what is typed is kept for the way back. */
  get areUnsaved(): boolean {
    return this.#unsaved.size > 0 && !this.#isKept;
  }

  /** Note a form that was changed. The function that is returned takes that back. */
  markUnsaved(form: object): () => void {
    this.#unsaved.add(form);
    return () => void this.#unsaved.delete(form);
  }

  /** Note the value of a field as long as it is shown. The function that is returned ends that. */
  show(field: string, value: unknown): () => void {
    this.#shown.set(field, value);
    this.#returned?.values.delete(field);
    return () => void this.#shown.delete(field);
  }

  /** What was typed into a field of this page before the sign-in; undefined: nothing is known of that. */
  returned(field: string): unknown {
    return this.#returned?.path === location.pathname ? this.#returned.values.get(field) : undefined;
  }

  /** Keep what `name` has typed while the browser is at the issuer. */
  keep(name: string): void {
    const values = Object.fromEntries(this.#shown);
    this.#isKept = keepDrafts({ name, path: location.pathname, values });
  }

  /** Bring back to their forms what `name` has typed before the sign-in. What somebody else has typed is forgotten. */
  giveBack(name: string): void {
    const kept = takeDrafts();
    this.#returned = kept?.name === name ? { path: kept.path, values: new Map(Object.entries(kept.values)) } : null;
  }

  /** Forget what was kept: the page was not left, or is left for good. */
  forgetKept(): void {
    takeDrafts();
    this.#isKept = false;
    this.#returned = null;
  }

  /** The page is left without saving. */
  abandon(): void {
    this.#unsaved.clear();
  }

  /** The browser has come back to the page as it was. */
  resume(): void {
    this.#isKept = false;
  }
}
