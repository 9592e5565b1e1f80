import { baseUrl, problemOf, type Schemas } from "../api/client";
import { Unreachable } from "../api/problem";

export type Status = Schemas["Status"];

/** How long the stream may be silent, in milliseconds. The admin API sends a status every second. */
const SILENCE_MS = 10_000;

/**
 * Follow `/v1/events` until the stream ends, and give each status to `onStatus`.
 *
 * An EventSource can send no token, so the stream is read from a response. Rejects with ApiProblem where it is refused,
 * and with Unreachable where it breaks or nothing comes any more, as after a connection was lost without a word.
 */
export async function followStatus(
  token: string,
  onStatus: (status: Status) => void,
  signal: AbortSignal,
): Promise<void> {
  const silence = new AbortController();
  const wait = () => setTimeout(() => silence.abort(), SILENCE_MS);
  let timer = wait();
  try {
    const response = await fetch(new URL("v1/events", baseUrl()), {
      headers: { Authorization: `Bearer ${token}` },
      signal: AbortSignal.any([signal, silence.signal]),
    });
    if (!response.ok || response.body === null) {
      throw await problemOf(response);
    }
    await readEvents(response.body, (data) => {
      clearTimeout(timer);
      timer = wait();
      onStatus(JSON.parse(data) as Status);
    });
  } catch (error) {
    throw error instanceof TypeError || silence.signal.aborted ? new Unreachable() : error;
  } finally {
    clearTimeout(timer);
  }
}

async function readEvents(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  onData: (data: string) => void,
): Promise<void> {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    const parsed = parseEvents(text + value);
    text = parsed.rest;
    parsed.data.forEach(onData);
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
