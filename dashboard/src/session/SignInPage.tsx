import { useEffect } from "react";
import styles from "./SignIn.module.css";
import { SignInForm } from "./SignInForm";

/** What is shown while nobody is signed in. */
export function SignInPage({ error }: { error: unknown }) {
  useEffect(() => {
    document.title = "Sign in · Penstock";
  }, []);
  return (
    <main className={styles.page}>
      <h1>Sign in to Penstock</h1>
      <SignInForm error={error} />
    </main>
  );
}
