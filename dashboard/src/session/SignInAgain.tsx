import { Button } from "../parts/Button";
import { Dialog, DialogActions } from "../parts/Dialog";
import { useSession } from "./SessionProvider";
import { SignInForm } from "./SignInForm";

/** Asks for a new token over the page when a session has ended, so that what is typed there stays. */
export function SignInAgain() {
  const { session, signOut } = useSession();
  return (
    <Dialog title="Sign in again">
      <p>
        Your session has ended. Sign in again as <strong>{session?.name}</strong> to go on where you were. What you have
        typed is kept; somebody else who signs in does not get it.
      </p>
      <SignInForm />
      <DialogActions>
        <Button onClick={signOut}>Sign out</Button>
      </DialogActions>
    </Dialog>
  );
}
