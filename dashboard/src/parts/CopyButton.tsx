import { Button } from "./Button";
import { useSay } from "./ToastProvider";

/** Copies a text. `what` names it: `the id of the job`. */
export function CopyButton({ text, what }: { text: string; what: string }) {
  const say = useSay();
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say(`Copied ${what}.`);
    } catch {
      // Browsers have no clipboard for a page that came over plain HTTP from another machine.
      say(`The browser does not let this page copy. Select ${what} by hand.`);
    }
  };
  return <Button onClick={() => void copy()}>Copy {what}</Button>;
}
