import { baseUrl, bodyOf, createApi } from "../api/client";
import { finishOidc, isCallback } from "./oidc";

/**
 * The token that the address of this visit brings, if it does: a ticket of one use in the fragment, or an answer of the
 * issuer. The address is cleaned first, so that neither stays in the history of the browser.
 */
export async function tokenOfArrival(): Promise<string | null> {
  if (isCallback()) {
    return finishOidc();
  }
  const ticket = new URLSearchParams(location.hash.slice(1)).get("ticket");
  if (ticket === null) {
    return null;
  }
  const home = new URL("sign-in", baseUrl()).pathname === location.pathname;
  history.replaceState(null, "", home ? baseUrl().pathname : location.pathname + location.search);
  const { token } = await bodyOf(createApi(null).POST("/v1/sign-in/ticket", { body: { ticket } }));
  return token;
}
