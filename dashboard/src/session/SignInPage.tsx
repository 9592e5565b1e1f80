import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useId, useState } from "react";
import { bodyOf, createApi } from "../api/client";
import { Button } from "../parts/Button";
import { ErrorNotice, Notice } from "../parts/Notice";
import { startOidc } from "./oidc";
import { useSession } from "./SessionProvider";
import styles from "./SignInPage.module.css";

/** Asks who the operator is: by the issuer of the installation, if one is set, or by a token. */
export function SignInPage({ error: earlier }: { error: unknown }) {
  const { signIn, reason } = useSession();
  const [token, setToken] = useState("");
  const [error, setError] = useState<unknown>(earlier);
  const tokenId = useId();
  const options = useQuery({
    queryKey: ["sign-in"],
    queryFn: ({ signal }) => bodyOf(createApi(null).GET("/v1/sign-in", { signal })),
  });
  useEffect(() => {
    document.title = "Sign in · Penstock";
  }, []);
  const oidc = options.data?.oidc;
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setError(null);
    try {
      await signIn(token.trim().replace(/^Bearer\s+/i, ""));
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <main className={styles.page}>
      <h1>Sign in to Penstock</h1>
      {reason && <Notice tone="accent">{reason}</Notice>}
      <ErrorNotice error={error} doing="sign in" />
      <ErrorNotice error={options.error} doing="ask how to sign in" />
      {oidc && (
        <p>
          <Button kind="primary" onClick={() => void startOidc(oidc).catch(setError)}>
            Sign in with {new URL(oidc.issuer).host}
          </Button>
        </p>
      )}
      <form onSubmit={(event) => void submit(event)} className={styles.form}>
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
        <Button type="submit" kind={oidc ? "plain" : "primary"} disabled={token.trim() === ""}>
          Sign in with a token
        </Button>
      </form>
    </main>
  );
}
