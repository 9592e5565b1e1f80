import type { Schemas } from "../../api/client";
import type { Filters } from "../../urls/filters";

type Job = Pick<Schemas["JobDocument"], "descriptor" | "flow">;
type Request = Pick<Schemas["StoredRequestDocument"], "caller" | "method" | "target">;

/** What the page that explains has to be filled with for a job: its caller and, for those who may see it, its request. */
export function explainedBy({ descriptor, flow }: Job, request: Request | null): Filters {
  const user = request?.caller?.subject ?? valueOfKind(descriptor, "user");
  const address = charged(flow)
    .map((one) => valueOfKind(one, "ip"))
    .find((one) => one !== "");
  return {
    user,
    ip: address ?? "",
    method: request?.method ?? "",
    path: request?.target.replace(/[?#].*$/s, "") ?? "",
  };
}

/** The descriptors in the name of a flow: `<rule>|<descriptor>` for each rule, and perhaps `>` and the caller. */
function charged(flow: string): string[] {
  const [rules = "", caller = ""] = flow.split(">");
  return [...rules.split(";").map((part) => part.slice(part.indexOf("|") + 1)), caller];
}

/** The value of a descriptor of this kind, as it was before it was escaped; '' for another kind. */
function valueOfKind(descriptor: string, kind: string): string {
  if (!descriptor.startsWith(`${kind}:`)) {
    return "";
  }
  try {
    return decodeURIComponent(descriptor.slice(kind.length + 1));
  } catch {
    return "";
  }
}
