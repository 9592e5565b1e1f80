import { useState } from "react";
import { useLeave } from "../drafts/GuardedRouter";
import { Button } from "../parts/Button";
import { useSession } from "../session/SessionProvider";
import { useTime, type Zone } from "../time/TimeZoneProvider";
import { applyTheme, storedTheme, THEMES, type Theme } from "./theme";
import styles from "./ViewOptions.module.css";

const THEME_NAMES: Record<Theme, string> = { system: "System colours", light: "Light", dark: "Dark" };

/** How times and colours are shown, who is signed in, and the way out. */
export function ViewOptions() {
  const { session, signOut } = useSession();
  const leave = useLeave();
  const { zone, setZone } = useTime();
  const [theme, setTheme] = useState(storedTheme);
  return (
    <div className={styles.options}>
      <select aria-label="Time zone" value={zone} onChange={(event) => setZone(event.target.value as Zone)}>
        <option value="local">Local time</option>
        <option value="utc">UTC</option>
      </select>
      <select
        aria-label="Colours"
        value={theme}
        onChange={(event) => {
          const chosen = event.target.value as Theme;
          applyTheme(chosen);
          setTheme(chosen);
        }}
      >
        {THEMES.map((one) => (
          <option key={one} value={one}>
            {THEME_NAMES[one]}
          </option>
        ))}
      </select>
      {session && (
        <>
          <span className={styles.operator} title={session.name}>
            {session.name} ({session.role})
          </span>
          <Button onClick={() => leave(signOut)}>Sign out</Button>
        </>
      )}
    </div>
  );
}
