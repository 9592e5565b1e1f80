/** How much longer than the text its indented form may be; a text of nothing but brackets would fill the memory. */
const MAX_GROWTH = 8;
const FREE_CHARACTERS = 10_000;

/**
 * A text of JSON indented by two spaces, or null where it is not JSON, or too deep to be indented.
 *
 * Only spaces outside of strings change: the text is never turned into values, so that a number of any length, the
 * order of members and a member that stands twice are shown as they came.
 */
export function prettyJson(text: string): string | null {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  const tokens = text.match(/"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  const longest = text.length * MAX_GROWTH + FREE_CHARACTERS;
  let depth = 0;
  let shown = "";
  let previous = "";
  for (const token of tokens) {
    const opened = previous === "{" || previous === "[";
    if (token === "}" || token === "]") {
      depth -= 1;
      shown += opened ? token : lineBreak(depth) + token;
    } else {
      shown += opened || previous === "," ? lineBreak(depth) + token : token;
      if (token === ":") {
        shown += " ";
      }
      depth += token === "{" || token === "[" ? 1 : 0;
    }
    if (shown.length > longest) {
      return null;
    }
    previous = token;
  }
  return shown;
}

function lineBreak(depth: number): string {
  return `\n${"  ".repeat(depth)}`;
}
