import { isRecord } from "../api/problem";

export const ROLES = ["viewer", "operator", "admin"] as const;
export type Role = (typeof ROLES)[number];

/** Who is signed in. The token lives in this tab only: in memory and in `sessionStorage`, never in an address. */
export type Session = { token: string; name: string; role: Role; expiresAt: string | null };

const KEY = "penstock.session";

export function storedSession(): Session | null {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    return isSession(stored) ? stored : null;
  } catch {
    return null;
  }
}

export function storeSession(session: Session | null): void {
  try {
    if (session === null) {
      sessionStorage.removeItem(KEY);
    } else {
      sessionStorage.setItem(KEY, JSON.stringify(session));
    }
  } catch {
    // A browser that lets the page keep nothing asks again after a reload.
  }
}

/** Whether who signs in anew is the same person and may still do what they could: then they go on where they were. */
export function continues(session: Session, next: Session): boolean {
  return next.name === session.name && includes(next.role, session.role);
}

/** Whether `role` includes `required`. */
export function includes(role: Role, required: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(required);
}

function isSession(value: unknown): value is Session {
  return (
    isRecord(value) &&
    typeof value.token === "string" &&
    typeof value.name === "string" &&
    ROLES.some((role) => role === value.role)
  );
}
