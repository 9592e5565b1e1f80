import { Link } from "wouter";
import type { Schemas } from "../../api/client";
import type { Column } from "../../parts/Table";
import { Moment } from "../../time/Moment";
import { Changes } from "./Changes";
import { linkOfTarget } from "./target";

type Entry = Schemas["AuditedChange"];

const FACES: Record<Entry["face"], string> = { rest: "REST", grpc: "gRPC", process: "by itself" };

export const COLUMNS: readonly Column<Entry>[] = [
  { name: "at", heading: "At", cell: (entry) => <Moment at={entry.at} /> },
  { name: "actor", heading: "Who", cell: (entry) => entry.actor },
  { name: "face", heading: "By", unbroken: true, cell: (entry) => FACES[entry.face] },
  { name: "action", heading: "Action", unbroken: true, cell: (entry) => <code>{entry.action}</code> },
  { name: "target", heading: "What", cell: (entry) => <Target entry={entry} /> },
  { name: "changes", heading: "Changes", cell: (entry) => <Changes before={entry.before} after={entry.after} /> },
];

function Target({ entry: { action, target } }: { entry: Entry }) {
  const link = linkOfTarget(action, target);
  return link === null ? target : <Link href={link}>{target}</Link>;
}
