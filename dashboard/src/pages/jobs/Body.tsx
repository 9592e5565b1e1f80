import { useMemo, useState } from "react";
import { Button } from "../../parts/Button";
import { CopyButton } from "../../parts/CopyButton";
import { JsonText } from "../../parts/JsonText";
import { formatBytes, formatCount } from "../../parts/numbers";
import { prettyJson } from "../../parts/prettyJson";
import { SHOWN_CHARACTERS, type StoredBody, shownBody } from "./bodies";
import styles from "./contents.module.css";

/** The body of a request or an answer as inert text, with its size and type. `of` names whose: `request`. */
export function Body({ stored, of }: { stored: StoredBody; of: string }) {
  const shown = shownBody(stored);
  if (shown.kind === "none") {
    return <p className={styles.quiet}>The {of} has no body.</p>;
  }
  if (shown.kind === "too large") {
    return <p className={styles.quiet}>The body of the {of} was too large to keep.</p>;
  }
  const { kind, text, bytes, mediaType } = shown;
  return (
    <>
      <p className={styles.quiet}>
        Body: {formatBytes(bytes)}
        {mediaType && `, ${mediaType}`}
        {kind === "binary" && ", not text, shown in base64"}
      </p>
      <BodyText text={text} of={of} />
    </>
  );
}

function BodyText({ text, of }: { text: string; of: string }) {
  const [whole, setWhole] = useState(false);
  const [raw, setRaw] = useState(false);
  const cut = text.length > SHOWN_CHARACTERS && !whole;
  // A view of a job that goes on is rendered again and again, and a body may be large.
  const isJson = useMemo(() => !cut && prettyJson(text) !== null, [text, cut]);
  return (
    <>
      <JsonText text={cut ? text.slice(0, SHOWN_CHARACTERS) : text} label={`Body of the ${of}`} raw={raw || cut} />
      <div className={styles.actions}>
        <CopyButton text={text} what={`the body of the ${of}`} />
        {isJson && (
          <Button aria-pressed={raw} onClick={() => setRaw(!raw)}>
            As it came
          </Button>
        )}
        {cut && (
          <>
            <Button onClick={() => setWhole(true)}>Show all of it</Button>
            <span className={styles.quiet}>
              Shown: the first {formatCount(SHOWN_CHARACTERS)} of {formatCount(text.length)} characters.
            </span>
          </>
        )}
      </div>
    </>
  );
}
