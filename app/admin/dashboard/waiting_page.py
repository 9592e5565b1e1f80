"""The page that is shown while there is no built dashboard. It says why, and asks again by itself; it has no script."""

import base64
import hashlib
from html import escape
from pathlib import Path

from app.admin.dashboard.build_state import BuildState
from app.web.excerpt import excerpt

RELOAD_AFTER_S = 2
LINES_OF_LOG = 12
TAIL_BYTES = 16 << 10

STYLE = """:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 44rem; margin: 4rem auto; padding: 0 1rem; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid; border-radius: 0.25rem; }
"""
STYLE_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
"""What the content security policy allows: this style, and nothing else that is inline."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{reload_after_s}">
<title>{title} – Penstock</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{text}
<p>This page loads itself again. The command <code>penstock</code> and the <a href="{base_path}/docs">REST API</a> work
meanwhile.</p>
</main>
</body>
</html>
"""


def waiting_page(state: BuildState | None, base_path: str) -> str:
    """Return the page for what is known of the build."""
    if state is None:
        title = "The dashboard is not built"
        text = "<p>Run <code>scripts/dashboard</code> where Penstock's sources are.</p>"
    elif state.is_under_way:
        title = "The dashboard is being built"
        text = f"<p>The first time this takes a minute or two.{_where(state.log)}</p>"
    else:
        title = "Building the dashboard failed"
        text = f"<p>{escape(excerpt(state.error))}{_where(state.log)}</p>{_lines(state.log)}"
        text += "<p>To build it again, run <code>scripts/dashboard</code>.</p>"
    return _PAGE.format(title=title, text=text, style=STYLE, base_path=base_path, reload_after_s=RELOAD_AFTER_S)


def _where(log: Path | None) -> str:
    return "" if log is None else f" The log is <code>{escape(str(log))}</code>."


def _lines(log: Path | None) -> str:
    lines = [] if log is None else _last_lines(log)
    return f"<pre>{escape(chr(10).join(map(excerpt, lines)))}</pre>" if lines else ""


def _last_lines(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-LINES_OF_LOG:]
    except OSError:
        return []
