import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, renderHook } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SessionProvider, useSession } from "../session/SessionProvider";
import { storeSession } from "../session/session";
import { LiveProvider, useLive, useRefetchInterval } from "./LiveProvider";

/** One connection to `/v1/events`, as the admin API has it. */
class EventStream {
  readonly response: Response;
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;

  constructor(readonly signal: AbortSignal) {
    const start = (controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>) => {
      this.#controller = controller;
      signal.addEventListener("abort", () => controller.error(signal.reason));
    };
    this.response = new Response(new ReadableStream<Uint8Array<ArrayBuffer>>({ start }));
  }

  send(second: number): void {
    const status = { at: new Date(second * 1000).toISOString(), rates: { decisions: {}, attempts: 0 }, backlog: null };
    this.#controller?.enqueue(new TextEncoder().encode(`event: status\ndata: ${JSON.stringify(status)}\n\n`));
  }

  break(): void {
    this.#controller?.error(new TypeError("network error"));
  }
}

let streams: EventStream[] = [];
let refusal: Response | null = null;

/** What the admin process has gathered for others, or null where it does not say. */
let gathered: { at: string }[] | null = null;

async function adminApi(asked: URL | Request, { signal }: { signal: AbortSignal }): Promise<Response> {
  if (asked instanceof Request) {
    return gathered === null ? Response.json({}, { status: 404 }) : Response.json({ samples: gathered });
  }
  if (refusal !== null) {
    return refusal;
  }
  streams.push(new EventStream(signal));
  return streams.at(-1)?.response as Response;
}

const queries = new QueryClient();

function wrapper({ children }: { children: ReactNode }) {
  return (
    <QueryClientProvider client={queries}>
      <SessionProvider>
        <LiveProvider>{children}</LiveProvider>
      </SessionProvider>
    </QueryClientProvider>
  );
}

function renderLive() {
  const hook = () => ({ live: useLive(), hasEnded: useSession().hasEnded, refetchMs: useRefetchInterval() });
  return renderHook(hook, { wrapper }).result;
}

const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
  vi.stubGlobal("fetch", adminApi);
  [streams, refusal, gathered] = [[], null, null];
  localStorage.clear();
  storeSession({ token: "t", name: "vera", role: "viewer", expiresAt: null });
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a status is shown, and a lost stream is told, kept on show and connected again", async () => {
  const result = renderLive();
  await pass(0);
  expect(result.current.live.connection).toBe("connecting");
  streams[0]?.send(1);
  await pass(10);
  expect(result.current.live.connection).toBe("live");
  expect(result.current.live.history).toHaveLength(1);
  streams[0]?.break();
  await pass(10);
  expect(result.current.live.connection).toBe("connecting");
  expect(result.current.live.problem).toContain("cannot be reached");
  expect(result.current.live.status).not.toBeNull();
  await pass(1000);
  streams[1]?.send(2);
  await pass(2000);
  expect([result.current.live.connection, result.current.live.problem]).toEqual(["live", ""]);
  expect(result.current.live.history).toHaveLength(2);
});

test("what was gathered for others is there at once, and again after each connection", async () => {
  const at = (second: number) => ({ at: new Date(second * 1000).toISOString() });
  gathered = [at(1), at(2), at(3)];
  const result = renderLive();
  await pass(0);
  streams[0]?.send(3);
  await pass(10);
  expect(result.current.live.history.map(({ atS }) => atS)).toEqual([1, 2, 3]);
  gathered = [...gathered, at(4), at(5)];
  streams[0]?.break();
  await pass(1000);
  streams[1]?.send(6);
  await pass(10);
  expect(result.current.live.history.map(({ atS }) => atS)).toEqual([1, 2, 3, 4, 5, 6]);
});

test("a stream that is lost again and again is connected again ever more rarely", async () => {
  renderLive();
  await pass(0);
  const connectedAfter: number[] = [];
  for (let ms = 0; ms < 40_000; ms += 500) {
    const before = streams.length;
    streams.at(-1)?.break();
    await pass(500);
    connectedAfter.push(...(streams.length > before ? [ms] : []));
  }
  const waits = connectedAfter.slice(1).map((ms, at) => ms - (connectedAfter[at] ?? 0));
  expect(waits.length).toBeLessThan(7);
  expect(waits.every((wait, at) => wait >= (waits[at - 1] ?? 0))).toBe(true);
});

test("while updates are paused nothing is asked, and they go on afterwards", async () => {
  const result = renderLive();
  await pass(0);
  act(() => result.current.live.setPaused(true));
  expect([result.current.live.connection, result.current.refetchMs]).toEqual(["paused", false]);
  expect(streams[0]?.signal.aborted).toBe(true);
  await pass(60_000);
  expect(streams).toHaveLength(1);
  act(() => result.current.live.setPaused(false));
  await pass(0);
  expect([streams.length, result.current.refetchMs]).toEqual([2, 2000]);
});

test("what is shown is renewed as often as the viewer wants, and the choice is remembered", async () => {
  const result = renderLive();
  await pass(0);
  act(() => result.current.live.setIntervalS(10));
  for (let second = 1; second <= 9; second += 1) {
    streams[0]?.send(second);
    await pass(1000);
  }
  expect(result.current.live.history).toHaveLength(1);
  await pass(1000);
  expect(result.current.live.history).toHaveLength(9);
  expect([result.current.refetchMs, localStorage.getItem("penstock.interval_s")]).toEqual([10_000, "10"]);
});

test("a stream that is refused because the session has ended ends it here, too", async () => {
  refusal = Response.json({ title: "Unauthorized" }, { status: 401 });
  const result = renderLive();
  await pass(10);
  expect([result.current.hasEnded, result.current.refetchMs]).toEqual([true, false]);
  await pass(60_000);
  expect(streams).toHaveLength(0);
});
