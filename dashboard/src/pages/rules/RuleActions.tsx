import { type ReactNode, useState } from "react";
import { Button } from "../../parts/Button";
import { ConfirmDialog } from "../../parts/ConfirmDialog";
import { Section } from "../../parts/Page";
import { Requires } from "../../parts/Requires";
import { useSay } from "../../parts/ToastProvider";
import { useApi, useMay } from "../../session/SessionProvider";
import { DeleteRule } from "./DeleteRule";
import { LimitForAWhile } from "./LimitForAWhile";
import { PauseRule } from "./PauseRule";
import styles from "./RulePage.module.css";
import { type Fields, patchRule, type StoredRule } from "./rule";
import { useRulesChanged } from "./useRule";

/** What can be done with a rule, as far as the role goes. */
export function RuleActions({ stored }: { stored: StoredRule }) {
  const isAdmin = useMay("admin");
  const { rule, etag } = stored;
  return (
    <Section title="Change it">
      <Requires role="operator" to="pause it, and an admin can change it">
        <div className={styles.buttons}>
          <PauseRule stored={stored} />
          {isAdmin && (
            <>
              <LimitForAWhile stored={stored} />
              <Switches stored={stored} />
              <DeleteRule ruleId={rule.rule_id} etag={etag} />
            </>
          )}
        </div>
        <Requires role="admin" to="change its limit and its fields, disable and delete it">
          {null}
        </Requires>
      </Requires>
    </Section>
  );
}

type Switch = { name: string; title: string; patch: Fields; done: string; children: ReactNode };

/** Enables or disables a rule, and makes it a shadow or enforces it. */
function Switches({ stored }: { stored: StoredRule }) {
  const { rule_id, enabled = true, shadow = false } = stored.rule;
  return (
    <>
      <SwitchButton stored={stored} {...(enabled ? disabling(rule_id) : enabling(rule_id))} />
      <SwitchButton stored={stored} {...(shadow ? enforcing(rule_id) : shadowing(rule_id))} />
    </>
  );
}

/** What is asked about stays as it was when it was asked, even if somebody else changes the rule meanwhile. */
function SwitchButton({ stored, ...offered }: Switch & { stored: StoredRule }) {
  const [asked, setAsked] = useState<(Switch & { stored: StoredRule }) | null>(null);
  const api = useApi();
  const say = useSay();
  const changed = useRulesChanged();
  const apply = async (one: Switch & { stored: StoredRule }) => {
    await patchRule(api, one.stored, one.patch).finally(changed);
    say(one.done);
  };
  return (
    <>
      <Button onClick={() => setAsked({ stored, ...offered })}>{offered.name}…</Button>
      {asked && (
        <ConfirmDialog
          title={asked.title}
          action={asked.name}
          onConfirm={() => apply(asked)}
          onClose={() => setAsked(null)}
        >
          {asked.children}
        </ConfirmDialog>
      )}
    </>
  );
}

const disabling = (id: string): Switch => ({
  name: "Disable",
  title: `Disable the rule ${id}`,
  patch: { enabled: false },
  done: `The rule ${id} is disabled.`,
  children: (
    <p>
      Within a second it limits nobody any more. Jobs that wait are sent at the last rate, or fail, as its queue says.
    </p>
  ),
});

const enabling = (id: string): Switch => ({
  name: "Enable",
  title: `Enable the rule ${id}`,
  patch: { enabled: true },
  done: `The rule ${id} is enabled.`,
  children: <p>Within a second it is in force on every edge.</p>,
});

const shadowing = (id: string): Switch => ({
  name: "Make it a shadow",
  title: `Make the rule ${id} a shadow`,
  patch: { shadow: true },
  done: `The rule ${id} is a shadow.`,
  children: <p>It goes on counting and reporting, and refuses nothing any more.</p>,
});

const enforcing = (id: string): Switch => ({
  name: "Enforce",
  title: `Enforce the rule ${id}`,
  patch: { shadow: false },
  done: `The rule ${id} is enforced.`,
  children: <p>What it only reports today it refuses or defers from now on.</p>,
});
