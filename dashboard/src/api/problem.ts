/** An answer of the admin API that is an error: problem details (RFC 9457), or what comes nearest to them. */
export class ApiProblem extends Error {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  /** The whole body, which has more members for some statuses: both versions of a rule for 412. */
  readonly body: Record<string, unknown>;

  constructor(status: number, body: unknown) {
    const members = isRecord(body) ? body : {};
    const title = textOf(members.title) ?? `The admin API answered ${status}`;
    const detail = textOf(members.detail) ?? "";
    super(detail || title);
    this.name = "ApiProblem";
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.body = members;
  }
}

/** The admin process could not be reached. */
export class Unreachable extends Error {
  constructor() {
    super("The admin process cannot be reached.");
    this.name = "Unreachable";
  }
}

/** What to tell a person about an error. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
