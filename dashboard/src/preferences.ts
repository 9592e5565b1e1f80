/** Read what this browser remembers of the viewer's choices; null: nothing, or the browser lets the page keep nothing. */
export function readPreference(name: string): string | null {
  try {
    return localStorage.getItem(keyOf(name));
  } catch {
    return null;
  }
}

/** Remember a choice of the viewer, where the browser allows it. */
export function keepPreference(name: string, value: string): void {
  try {
    localStorage.setItem(keyOf(name), value);
  } catch {
    // The choice is in force until the page is left.
  }
}

function keyOf(name: string): string {
  return `penstock.${name}`;
}
