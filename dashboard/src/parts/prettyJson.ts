/**
 * JSON, indented. null: the text is not JSON.
 *
 * The text is cut into tokens and not parsed into values, so that a number of any length, the order of members and a
 * member that stands twice are shown as they came.
 */
export function prettyJson(text: string): string | null {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  let depth = 0;
  let shown = "";
  tokens.forEach((token, at) => {
    const previous = tokens[at - 1];
    if (token === "}" || token === "]") {
      depth -= 1;
      shown += previous === "{" || previous === "[" ? token : lineBreak(depth) + token;
    } else {
      shown += previous === "{" || previous === "[" || previous === "," ? lineBreak(depth) + token : token;
      if (token === ":") {
        shown += " ";
      }
      depth += token === "{" || token === "[" ? 1 : 0;
    }
  });
  return shown;
}

function lineBreak(depth: number): string {
  return `\n${"  ".repeat(depth)}`;
}
