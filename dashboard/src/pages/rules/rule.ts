import type { Api, Schemas } from "../../api/client";
import { parseJson, writeJson } from "../../api/json";

/** A rule as the API answers it, where members that have their default are left out. */
export type Rule = Pick<Schemas["ShownRule"], "rule_id" | "key_type"> & Partial<Schemas["ShownRule"]>;
export type InForce = Schemas["RuleInForce"];

/** The fields of a rule, or of a draft of one, which may hold anything that a person has typed. */
export type Fields = Readonly<Record<string, unknown>>;

/** A rule as it was read, and the ETag with which a change of it is made only if it is still the same. */
export type StoredRule = { rule: Rule; etag: string };

/** What the store keeps or the API only shows; nobody writes it. */
const READ_ONLY = new Set(["version", "updated_at", "updated_by", "temporary", "in_force"]);

/** The fields of a rule that a person writes. */
export function editableFields(rule: Fields): Fields {
  return Object.fromEntries(Object.entries(rule).filter(([name]) => !READ_ONLY.has(name)));
}

/** Read a rule without loss. Rejects with ApiProblem: 404 without one, 409 where its document is not a valid rule. */
export async function readRule(api: Api, ruleId: string, signal?: AbortSignal): Promise<StoredRule> {
  const { data, response } = await api.GET("/v1/rules/{rule_id}", {
    params: { path: { rule_id: ruleId } },
    parseAs: "text",
    signal,
  });
  return storedRule(data, response);
}

/** Create a rule. Rejects with ApiProblem: 409 if its id is taken, 422 if it is not valid. */
export async function createRule(api: Api, fields: Fields): Promise<StoredRule> {
  const { data, response } = await api.POST("/v1/rules", {
    body: fields as never,
    bodySerializer: writeJson,
    parseAs: "text",
  });
  return storedRule(data, response);
}

/** Replace a rule, if it still has the ETag; null: if there is none. Rejects with ApiProblem: 412, 422. */
export async function replaceRule(api: Api, ruleId: string, fields: Fields, etag: string | null): Promise<StoredRule> {
  const { data, response } = await api.PUT("/v1/rules/{rule_id}", {
    params: { path: { rule_id: ruleId }, header: etag === null ? { "If-None-Match": "*" } : { "If-Match": etag } },
    body: fields as never,
    bodySerializer: writeJson,
    parseAs: "text",
  });
  return storedRule(data, response);
}

/** Change some fields of a rule, if it still has the ETag; with `forSeconds` for a while only. */
export async function patchRule(api: Api, { rule, etag }: StoredRule, patch: Fields, forSeconds?: number) {
  await api.PATCH("/v1/rules/{rule_id}", {
    params: {
      path: { rule_id: rule.rule_id },
      header: { "If-Match": etag },
      query: forSeconds === undefined ? {} : { for_seconds: forSeconds },
    },
    body: patch as never,
    bodySerializer: writeJson,
    parseAs: "text",
  });
}

function storedRule(text: string | undefined, response: Response): StoredRule {
  return { rule: parseJson(text ?? "null") as Rule, etag: response.headers.get("etag") ?? "" };
}
