import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Unreachable } from "../api/problem";
import { followStatus, parseEvents, type Status } from "./events";

test.each([
  ["nothing", "", [], ""],
  ["a part of an event", "event: status\ndata: {", [], "event: status\ndata: {"],
  ["an event", "event: status\ndata: {}\n\n", ["{}"], ""],
  ["two events and the beginning of one", "data: 1\n\ndata: 2\n\ndata", ["1", "2"], "data"],
  ["data in several lines", "data: a\ndata:b\n\n", ["a\nb"], ""],
  ["a comment that keeps the connection alive", ": \n\n", [], ""],
])("%s is read", (_, text, data, rest) => {
  expect(parseEvents(text)).toEqual({ data, rest });
});

beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("events are read however the network cuts them, also within a character", async () => {
  const bytes = new TextEncoder().encode('event: status\ndata: {"at":"é"}\n\ndata: {"at":"2"}\n\n');
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      for (const byte of bytes) {
        controller.enqueue(new Uint8Array([byte]));
      }
      controller.close();
    },
  });
  vi.stubGlobal("fetch", async () => new Response(stream));
  const seen: string[] = [];
  await followStatus("t", (status) => seen.push(status.at), new AbortController().signal);
  expect(seen).toEqual(["é", "2"]);
});

test("a refusal is told with its problem", async () => {
  const problem = { title: "Too Many Requests", status: 429, detail: "200 watch already." };
  vi.stubGlobal("fetch", async () => new Response(JSON.stringify(problem), { status: 429 }));
  const following = followStatus("t", () => undefined, new AbortController().signal);
  await expect(following).rejects.toMatchObject({ status: 429, detail: "200 watch already." });
});

test("a stream that falls silent is given up, and one that speaks is not", async () => {
  const waiting: { enqueue: (chunk: Uint8Array<ArrayBuffer>) => void }[] = [];
  vi.stubGlobal("fetch", async (_: URL, { signal }: { signal: AbortSignal }) => {
    const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start(controller) {
        waiting.push(controller);
        signal.addEventListener("abort", () => controller.error(signal.reason));
      },
    });
    return new Response(stream);
  });
  const seen: Status[] = [];
  const following = followStatus("t", (status) => seen.push(status), new AbortController().signal);
  const ended = expect(following).rejects.toBeInstanceOf(Unreachable);
  for (const second of [9, 18, 27]) {
    await vi.advanceTimersByTimeAsync(9_000);
    waiting[0]?.enqueue(new TextEncoder().encode(`data: {"at":"${second}"}\n\n`));
    await vi.waitFor(() => expect(seen.at(-1)?.at).toBe(String(second)));
  }
  await vi.advanceTimersByTimeAsync(10_000);
  await ended;
});
