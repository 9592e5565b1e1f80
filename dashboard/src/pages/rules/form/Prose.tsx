/** A description of the API, whose words in backticks are code. */
export function Prose({ text }: { text: string }) {
  const parts = text.split("`").map((part, at) => ({ part, isCode: at % 2 === 1, key: `${at}:${part}` }));
  return (
    <>
      {parts.map(({ part, isCode, key }) => (isCode ? <code key={key}>{part}</code> : <span key={key}>{part}</span>))}
    </>
  );
}
