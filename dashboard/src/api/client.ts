import createClient, { type Client, type Middleware } from "openapi-fetch";
import { parseJson } from "./json";
import { ApiProblem, Unreachable } from "./problem";
import type { components, paths } from "./schema";

export type Api = Client<paths>;
export type Schemas = components["schemas"];

/** Where the admin process serves the dashboard, with a slash at its end: the `<base>` of the page. */
export function baseUrl(): URL {
  return new URL(".", document.baseURI);
}

/** How requests are authorized: a token, and what is done once the admin API refuses it. */
export type Credentials = { token: string; onRefused: (problem: ApiProblem) => void };

/** A client of the admin API. Its calls reject with ApiProblem or Unreachable; `data` is there whenever they return. */
export function createApi(credentials: Credentials | null): Api {
  const api = createClient<paths>({ baseUrl: baseUrl().href.replace(/\/$/, ""), fetch: reachable });
  if (credentials !== null) {
    api.use(authorizing(credentials));
  }
  api.use(rejectingProblems(credentials));
  return api;
}

/** How long an answer may take, in milliseconds; the admin API itself gives up on a store that is away much earlier. */
const ANSWER_WITHIN_MS = 30_000;

async function reachable(request: Request): Promise<Response> {
  const signal = AbortSignal.any([request.signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]);
  try {
    return await exactly(await fetch(request, { signal }));
  } catch (error) {
    if (request.signal.aborted) {
      throw error;
    }
    throw new Unreachable();
  }
}

/** The answer, whose JSON is read without loss: integers that a number cannot hold, such as claims, become a `bigint`. */
async function exactly(response: Response): Promise<Response> {
  if (!response.ok || !response.headers.get("Content-Type")?.startsWith("application/json")) {
    return response;
  }
  const text = await response.text();
  const { status, headers } = response;
  const exact = new Response(text, { status, headers });
  exact.headers.set("Content-Length", String(text.length)); // without it openapi-fetch parses the text by itself
  exact.json = async () => (/\d{16}/.test(text) ? parseJson(text) : JSON.parse(text));
  return exact;
}

function authorizing({ token }: Credentials): Middleware {
  return {
    onRequest({ request }) {
      request.headers.set("Authorization", `Bearer ${token}`);
      return request;
    },
  };
}

function rejectingProblems(credentials: Credentials | null): Middleware {
  return {
    async onResponse({ response }) {
      if (response.ok) {
        return;
      }
      const problem = await problemOf(response);
      if (problem.status === 401) {
        credentials?.onRefused(problem);
      }
      throw problem;
    },
  };
}

/** The problem that an answer carries, whose members are read without loss: some have both versions of a rule. */
export async function problemOf(response: Response): Promise<ApiProblem> {
  try {
    return new ApiProblem(response.status, parseJson(await response.text()));
  } catch {
    return new ApiProblem(response.status, null);
  }
}

/** The body of an answer of `createApi`, which is there because errors reject. */
export async function bodyOf<T>(call: Promise<{ data?: T }>): Promise<T> {
  return (await call).data as T;
}
