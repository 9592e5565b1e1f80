import type { Status } from "../../live/events";
import type { Tone } from "../../parts/Badge";
import { counted } from "../../parts/numbers";
import { formatDuration } from "../../time/format";
import { links } from "../../urls/links";

/** Something that an operator should look at: how bad it is, what it is, and where it is dealt with. */
export type Attention = { tone: Extract<Tone, "bad" | "warn" | "quiet">; text: string; href: string; remedy: string };

const TONES: readonly Attention["tone"][] = ["bad", "warn", "quiet"];

/** From which age on the oldest job is worth a look, in seconds. */
const OLD_S = 600;

const WHERE: Record<Status["problems"][number]["about"], readonly [string, string]> = {
  rules: [links.rules(), "Look at the rules"],
  processes: [links.system(), "Look at the processes"],
  stores: [links.system(), "Look at the stores"],
  app_servers: [links.system(), "Look at the app servers"],
};

/** What needs attention, the worst first. */
export function attentionOf(status: Status): Attention[] {
  const found = [
    ...status.problems.map(({ text, about }): Attention => {
      const [href, remedy] = WHERE[about];
      return { tone: "bad", text, href, remedy };
    }),
    ...ofDeadLetters(status),
    ...ofFlows(status),
    ...ofAge(status),
    ...ofRules(status),
  ];
  return found.sort((one, other) => TONES.indexOf(one.tone) - TONES.indexOf(other.tone));
}

function ofDeadLetters({ backlog }: Status): Attention[] {
  if (!backlog || backlog.dead_letters === 0) {
    return [];
  }
  const isNew = backlog.recent_dead_letters > 0;
  const text = isNew
    ? `${counted(backlog.recent_dead_letters, "job")} became ${backlog.recent_dead_letters === 1 ? "a dead letter" : "dead letters"} in the last ten minutes.`
    : `${counted(backlog.dead_letters, "dead letter")} ${backlog.dead_letters === 1 ? "waits" : "wait"} to be replayed or deleted.`;
  return [{ tone: isNew ? "warn" : "quiet", text, href: links.deadLetters(), remedy: "Find out why, replay them" }];
}

function ofFlows({ flows }: Status): Attention[] {
  const found: Attention[] = [];
  if (flows.held > 0) {
    const text = `App servers hold back ${counted(flows.held, "flow")}: they have answered that they are too busy.`;
    found.push({ tone: "warn", text, href: links.flows({ state: "held" }), remedy: "Look at what is held" });
  }
  if (flows.paused) {
    const text = `Operators have paused ${counted(flows.paused, "caller")}.`;
    found.push({ tone: "warn", text, href: links.flows({ state: "paused" }), remedy: "Look at what is paused" });
  }
  return found;
}

function ofAge({ backlog }: Status): Attention[] {
  const age = backlog?.oldest_age_seconds ?? 0;
  if (age < OLD_S) {
    return [];
  }
  const text = `The oldest job has waited for ${formatDuration(age)}.`;
  return [{ tone: "warn", text, href: links.flows({ sort: "age" }), remedy: "See which flows wait longest" }];
}

function ofRules({ rules }: Status): Attention[] {
  if (!rules.paused) {
    return [];
  }
  const text = `Operators have paused ${counted(rules.paused, "rule")}, and nothing of ${rules.paused === 1 ? "it" : "them"} drains.`;
  return [{ tone: "warn", text, href: links.rules({ paused: "true" }), remedy: "Look at what is paused" }];
}
