import { type Filters, queryOf } from "./filters";

/** Addresses of the pages, below the base path. */
export const links = {
  overview: () => "/",
  rules: (filters: Filters = {}) => `/rules${queryOf(filters)}`,
  newRule: () => "/rules/new",
  rule: (ruleId: string, tab: "" | "edit" | "history" = "") =>
    `/rules/id/${encodeURIComponent(ruleId)}${tab && `/${tab}`}`,
  flows: (filters: Filters = {}) => `/flows${queryOf(filters)}`,
  flow: (flowId: string) => `/flows/${encodeURIComponent(flowId)}`,
  jobs: (filters: Filters = {}) => `/jobs${queryOf(filters)}`,
  job: (jobId: string) => `/jobs/${encodeURIComponent(jobId)}`,
  deadLetters: (filters: Filters = {}) => `/dead-letters${queryOf(filters)}`,
  operations: () => "/operations",
  operation: (operationId: string) => `/operations/${encodeURIComponent(operationId)}`,
  explain: (filters: Filters = {}) => `/explain${queryOf(filters)}`,
  audit: (filters: Filters = {}) => `/audit${queryOf(filters)}`,
  system: () => "/system",
};
