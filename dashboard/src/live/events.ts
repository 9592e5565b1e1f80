import { baseUrl, problemOf, type Schemas } from "../api/client";
import { Unreachable } from "../api/problem";

export type Status = Schemas["Status"];

/**
 * Follow `/v1/events` until the stream ends, and give each status to `onStatus`.
 *
 * An EventSource can send no token, so the stream is read from a response. Rejects with ApiProblem or Unreachable.
 */
export async function followStatus(
  token: string,
  onStatus: (status: Status) => void,
  signal: AbortSignal,
): Promise<void> {
  const response = await opened(token, signal);
  if (!response.ok || response.body === null) {
    throw await problemOf(response);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    const parsed = parseEvents(text + value);
    text = parsed.rest;
    for (const data of parsed.data) {
      onStatus(JSON.parse(data) as Status);
    }
  }
}

async function opened(token: string, signal: AbortSignal): Promise<Response> {
  try {
    return await fetch(new URL("v1/events", baseUrl()), { headers: { Authorization: `Bearer ${token}` }, signal });
  } catch (error) {
    if (signal.aborted) {
      throw error;
    }
    throw new Unreachable();
  }
}

/** The data of the server-sent events that are whole, and the rest of the text. */
export function parseEvents(text: string): { data: string[]; rest: string } {
  const blocks = text.split("\n\n");
  const rest = blocks.pop() ?? "";
  const data = blocks
    .map((block) =>
      block
        .split("\n")
        .filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).trimStart())
        .join("\n"),
    )
    .filter((one) => one !== "");
  return { data, rest };
}
