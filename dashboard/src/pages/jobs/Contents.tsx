import type { ReactNode } from "react";
import { CopyButton } from "../../parts/CopyButton";
import { ErrorNotice } from "../../parts/Notice";
import { Section } from "../../parts/Page";
import { Requires } from "../../parts/Requires";
import { Body } from "./Body";
import styles from "./contents.module.css";
import { headText, requestText } from "./messages";
import type { Contents } from "./useJob";

type ContentsSectionsProps = {
  contents: { data: Contents | null | undefined; error: unknown };
  hasEnded: boolean;
};

/** What a job was sent and what came back, for those who may see it. Credentials are never part of it. */
export function ContentsSections({ contents, hasEnded }: ContentsSectionsProps) {
  const { data, error } = contents;
  const shown = (of: (found: Contents | null) => ReactNode) =>
    data === undefined ? <ContentsAwaited error={error} /> : of(data);
  return (
    <>
      <Section title="Request">
        <Requires role="operator" to="see requests and answers, without credentials">
          {shown((found) => (
            <RequestShown request={found?.request ?? null} />
          ))}
        </Requires>
      </Section>
      <Section title="The app server's last answer">
        <Requires role="operator" to="see requests and answers, without credentials">
          {shown((found) => (
            <ResponseShown response={found?.response ?? null} hasEnded={hasEnded} />
          ))}
        </Requires>
      </Section>
    </>
  );
}

function ContentsAwaited({ error }: { error: unknown }) {
  return error ? <ErrorNotice error={error} doing="read the contents" /> : <p className={styles.quiet}>Reading…</p>;
}

function RequestShown({ request }: { request: Contents["request"] }) {
  if (request === null) {
    return (
      <p className={styles.quiet}>
        The request is not kept once a job has succeeded or was canceled, or this admin process lacks the key to decrypt
        it.
      </p>
    );
  }
  return (
    <div className={styles.message}>
      <div className={styles.line}>
        <strong>{request.method}</strong> {request.target}
      </div>
      <Headers headers={request.headers} />
      <div className={styles.actions}>
        <CopyButton text={requestText(request)} what="the head of the request" />
        <span className={styles.quiet}>Credentials are left out.</span>
      </div>
      <Body stored={request} of="request" />
    </div>
  );
}

function ResponseShown({ response, hasEnded }: { response: Contents["response"]; hasEnded: boolean }) {
  if (response === null) {
    return <p className={styles.quiet}>{hasEnded ? "No answer is kept." : "There is none yet."}</p>;
  }
  return (
    <div className={styles.message}>
      <div className={styles.line}>
        <strong>{response.status}</strong>
      </div>
      <Headers headers={response.headers} />
      <div className={styles.actions}>
        <CopyButton text={headText(String(response.status), response.headers)} what="the head of the answer" />
        <span className={styles.quiet}>Cookies are left out.</span>
      </div>
      <Body stored={response} of="answer" />
    </div>
  );
}

function Headers({ headers }: { headers: readonly (readonly [string, string])[] }) {
  if (headers.length === 0) {
    return <p className={styles.quiet}>There are no headers.</p>;
  }
  // A name may stand twice, and the order means something, so the place is the key.
  return (
    <dl className={styles.headers}>
      {headers.map(([name, value], at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: headers never move
        <div key={at}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
