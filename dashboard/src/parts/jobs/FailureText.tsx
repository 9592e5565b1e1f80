import { failureOf } from "./failureCodes";

/** An error code with what it means. */
export function FailureText({ code }: { code: string }) {
  const { words } = failureOf(code);
  return (
    <>
      {words !== code && `${words} `}
      <code>{code}</code>
    </>
  );
}
