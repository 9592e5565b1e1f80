/** Proof Key for Code Exchange, RFC 7636, with the method S256. */

/** A text that nobody can guess: 32 random bytes. It serves as a verifier, and as a state. */
export function randomText(): string {
  return base64Url(crypto.getRandomValues(new Uint8Array(32)));
}

/** The challenge of a verifier. Rejects where the browser hashes nothing, as on a page that came over plain HTTP. */
export async function challengeOf(verifier: string): Promise<string> {
  if (crypto.subtle === undefined) {
    throw new Error(
      "Browsers permit this sign-in only over HTTPS or on this machine. Use a token, or an https address.",
    );
  }
  return base64Url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

function base64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
