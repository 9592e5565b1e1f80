import type { Api, Schemas } from "../../api/client";
import { parseJson } from "../../api/json";

const PAGE_SIZE = 50;

type AuditFilter = { actor: string; action: string; target: string; since: string; until: string; after: string };

/** Read a page of the audit without loss: rules may hold integers that a number cannot. Rejects with ApiProblem. */
export async function readAudit(api: Api, filter: AuditFilter, signal: AbortSignal): Promise<Schemas["AuditPage"]> {
  const set = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== ""));
  const query = { limit: PAGE_SIZE, ...set };
  const { data } = await api.GET("/v1/audit", { params: { query }, parseAs: "text", signal });
  return parseJson(data ?? "null") as Schemas["AuditPage"];
}
