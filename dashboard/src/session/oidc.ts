import { baseUrl, bodyOf, createApi } from "../api/client";
import { challengeOf, randomText } from "./pkce";

/** What the admin API says of the issuer at which operators sign in. */
export type OidcOptions = {
  issuer: string;
  authorization_endpoint: string;
  client_id: string;
  scope: string;
};

/** What has to be remembered while the browser is at the issuer. */
type Pending = { state: string; verifier: string; returnTo: string };

const KEY = "penstock.oidc";
const CALLBACK = "sign-in/callback";

/** Whether the address is the one to which the issuer sends the browser back. */
export function isCallback(): boolean {
  return location.pathname === new URL(CALLBACK, baseUrl()).pathname;
}

/** Go to the issuer: the authorization code flow with PKCE (RFC 7636, S256). */
export async function startOidc(oidc: OidcOptions): Promise<void> {
  const pending: Pending = { state: randomText(), verifier: randomText(), returnTo: location.href };
  sessionStorage.setItem(KEY, JSON.stringify(pending));
  const address = new URL(oidc.authorization_endpoint);
  const parameters = {
    response_type: "code",
    client_id: oidc.client_id,
    redirect_uri: redirectUri(),
    scope: oidc.scope,
    state: pending.state,
    code_challenge: await challengeOf(pending.verifier),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(parameters)) {
    address.searchParams.set(name, value);
  }
  location.assign(address.href);
}

/**
 * The token for the code that the issuer has sent. The address is that of the page again from which the browser has gone
 * to the issuer. Rejects where the answer is not the one asked for.
 */
export async function finishOidc(): Promise<string> {
  const answer = new URLSearchParams(location.search);
  const pending = takePending();
  const isOurs = pending !== null && answer.get("state") === pending.state;
  history.replaceState(null, "", isOurs ? pending.returnTo : baseUrl());
  if (answer.get("error") !== null) {
    throw new Error(`The issuer answered: ${answer.get("error_description") ?? answer.get("error")}.`);
  }
  const code = answer.get("code");
  if (!isOurs || code === null) {
    throw new Error("This answer of the issuer belongs to no sign-in of this tab. Start again.");
  }
  const body = { code, code_verifier: pending.verifier, redirect_uri: redirectUri() };
  const { token } = await bodyOf(createApi(null).POST("/v1/sign-in/oidc", { body }));
  return token;
}

function takePending(): Pending | null {
  const stored = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  return stored === null ? null : (JSON.parse(stored) as Pending);
}

function redirectUri(): string {
  return new URL(CALLBACK, baseUrl()).href;
}
