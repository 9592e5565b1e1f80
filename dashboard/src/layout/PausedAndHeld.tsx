import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { bodyOf } from "../api/client";
import { Badge } from "../parts/Badge";
import { counted } from "../parts/numbers";
import { useApi } from "../session/SessionProvider";
import { links } from "../urls/links";

const EVERY_MS = 10_000;

/** Says on every page what is paused by an operator, with links to where it is resumed. */
export function PausedAndHeld() {
  const api = useApi();
  const settings = useQuery({
    queryKey: ["flow-settings", ""],
    queryFn: ({ signal }) => bodyOf(api.GET("/v1/flow-settings", { signal })),
    refetchInterval: EVERY_MS,
  });
  const paused = (settings.data?.settings ?? []).filter((one) => one.paused);
  if (paused.length === 0) {
    return null;
  }
  return (
    <Link href={links.flows()}>
      <Badge tone="warn">{counted(paused.length, "flow")} paused</Badge>
    </Link>
  );
}
