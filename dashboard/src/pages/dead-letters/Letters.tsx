import { type ReactNode, useState } from "react";
import { counted } from "../../parts/numbers";
import { Requires } from "../../parts/Requires";
import { Table } from "../../parts/Table";
import { useMay } from "../../session/SessionProvider";
import { CheckedActions } from "./CheckedActions";
import type { Outcome } from "./checkedDeeds";
import { columnsOf, type Letter } from "./columns";
import styles from "./letters.module.css";

type LettersProps = {
  letters: readonly Letter[];
  onDone: (outcome: Outcome, deed: string) => void;
  empty: ReactNode;
};

/** A page of dead letters, of which an operator checks some to replay or delete them. */
export function Letters({ letters, onDone, empty }: LettersProps) {
  const [checked, setChecked] = useState<ReadonlySet<string>>(new Set());
  // What has gone, or moved to another page, is not meant any more.
  const ids = letters.map(({ id }) => id);
  const here = ids.filter((id) => checked.has(id));
  const check = (these: readonly string[], on: boolean) =>
    setChecked(on ? new Set([...here, ...these]) : new Set(here.filter((id) => !these.includes(id))));
  const columns = columnsOf(useMay("operator"), checked, (id, on) => check([id], on));
  return (
    <>
      <Requires role="operator">
        <div className={styles.actions}>
          {letters.length > 0 && (
            <label className={styles.all}>
              <input
                type="checkbox"
                checked={here.length === letters.length}
                onChange={(event) => check(ids, event.target.checked)}
              />
              Check all {letters.length} on this page
            </label>
          )}
          <CheckedActions ids={here} offered={letters.length > 0} onDone={onDone} />
        </div>
      </Requires>
      <Table
        caption={`Dead letters, newest first: ${counted(letters.length, "row")}`}
        columns={columns}
        rows={letters}
        keyOf={(letter) => letter.id}
        empty={empty}
      />
    </>
  );
}
