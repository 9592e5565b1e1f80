import { keepPreference, readPreference } from "../preferences";

/** The colours: as the system says, or as chosen. */
export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const NAME = "theme";

export function storedTheme(): Theme {
  const stored = readPreference(NAME);
  return THEMES.find((theme) => theme === stored) ?? "system";
}

/** Show the page in this theme, and remember it. */
export function applyTheme(theme: Theme): void {
  keepPreference(NAME, theme);
  document.documentElement.dataset.theme = theme;
}
