import type { ReactNode } from "react";
import { useMay, useSession } from "../session/SessionProvider";
import type { Role } from "../session/session";
import styles from "./Requires.module.css";

type RequiresProps = {
  role: Role;
  /** What the role may do, such as `pause this flow`. Without it nothing stands where the children are not offered. */
  to?: string;
  children: ReactNode;
};

/** Offers its children to who has `role`, and tells all others why they see less. */
export function Requires({ role, to, children }: RequiresProps) {
  const may = useMay(role);
  const { session } = useSession();
  if (may) {
    return children;
  }
  if (to === undefined) {
    return null;
  }
  return (
    <p className={styles.reason}>
      Your role {session?.role ?? "viewer"} may look; {article(role)} {role} can {to}.
    </p>
  );
}

function article(role: Role): string {
  return role === "viewer" ? "a" : "an";
}
