import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useId, useState } from "react";
import { bodyOf, createApi } from "../api/client";
import { useDrafts } from "../drafts/useDraft";
import { Button } from "../parts/Button";
import { ErrorNotice } from "../parts/Notice";
import { type OidcOptions, startOidc } from "./oidc";
import { useSession } from "./SessionProvider";
import styles from "./SignIn.module.css";

/** Asks who the operator is: by the issuer of the installation, if one is set, or by a token. */
export function SignInForm({ error: earlier = null }: { error?: unknown }) {
  const { session, signIn } = useSession();
  const drafts = useDrafts();
  const [error, setError] = useState<unknown>(earlier);
  const options = useQuery({
    queryKey: ["sign-in"],
    queryFn: ({ signal }) => bodyOf(createApi(null).GET("/v1/sign-in", { signal })),
  });
  const oidc = options.data?.oidc;
  const goToIssuer = async (to: OidcOptions) => {
    if (session !== null) {
      drafts.keep(session.name);
    }
    await startOidc(to).catch((problem) => {
      drafts.forgetKept();
      setError(problem);
    });
  };
  const signInBy = (token: string) => {
    setError(null);
    return signIn(token.trim().replace(/^Bearer\s+/i, "")).catch(setError);
  };
  return (
    <>
      <ErrorNotice error={error} doing="sign in" />
      <ErrorNotice error={options.error} doing="ask how to sign in" />
      {oidc && (
        <p>
          <Button kind="primary" onClick={() => void goToIssuer(oidc)}>
            Sign in with {new URL(oidc.issuer).host}
          </Button>
        </p>
      )}
      <TokenForm isOnlyWay={!oidc} onToken={(token) => void signInBy(token)} />
    </>
  );
}

function TokenForm({ isOnlyWay, onToken }: { isOnlyWay: boolean; onToken: (token: string) => void }) {
  const [token, setToken] = useState("");
  const tokenId = useId();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    onToken(token);
  };
  return (
    <form onSubmit={submit} className={styles.form}>
      <label htmlFor={tokenId}>Token of the admin API</label>
      <textarea
        id={tokenId}
        className={styles.token}
        rows={4}
        value={token}
        spellCheck={false}
        autoComplete="off"
        onChange={(event) => setToken(event.target.value)}
      />
      <p className={styles.hint}>
        On the machine of the installation <code>penstock token NAME --admin operator</code> prints one. It stays in
        this tab of the browser.
      </p>
      <Button type="submit" kind={isOnlyWay ? "primary" : "plain"} disabled={token.trim() === ""}>
        Sign in with a token
      </Button>
    </form>
  );
}
