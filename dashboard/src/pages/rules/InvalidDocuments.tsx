import { Link } from "wouter";
import type { Schemas } from "../../api/client";
import { Notice } from "../../parts/Notice";
import { counted } from "../../parts/numbers";
import { links } from "../../urls/links";
import styles from "./InvalidDocuments.module.css";

type Document = Schemas["InvalidDocument"];

/** Documents in MongoDB that somebody wrote by hand and that are not valid rules; what is in force in their place. */
export function InvalidDocuments({ documents }: { documents: readonly Document[] }) {
  if (documents.length === 0) {
    return null;
  }
  const are = documents.length === 1 ? "is not a valid rule" : "are not valid rules";
  return (
    <Notice tone="bad" title={`${counted(documents.length, "document")} on this page ${are}.`}>
      <ul className={styles.documents}>
        {documents.map((one) => (
          <li key={one.document_key}>
            <Link href={links.rule(one.rule_id)}>{one.rule_id}</Link>: {one.problem}.{" "}
            {one.version_in_force === null
              ? "Nothing is in force in its place."
              : `Version ${one.version_in_force} stays in force.`}
          </li>
        ))}
      </ul>
    </Notice>
  );
}
