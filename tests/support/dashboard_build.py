"""A small built dashboard, as Vite leaves one: a page, hashed assets, and a file beside them."""

from pathlib import Path

SCRIPT = "export const penstock = 1;\n" * 200
PAGE = """<!doctype html>
<html lang="en">
<head>
<base href="/" />
<title>Penstock</title>
<script type="module" src="./assets/index-Ab12Cd34.js"></script>
<link rel="stylesheet" href="./assets/index-Ef56Gh78.css">
</head>
<body><div id="root"></div></body>
</html>
"""


def write_build(folder: Path, marker: str = "") -> None:
    """Write a build into `folder`. `marker` makes it differ from others."""
    assets = folder / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    (assets / "index-Ab12Cd34.js").write_text(SCRIPT)
    (assets / "index-Ef56Gh78.css").write_text("body { color: black; }\n")
    (assets / "icon-Ij90Kl12.woff2").write_bytes(bytes(range(256)) * 8)
    (folder / "icon.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>\n')
    new = folder / "index.html.new"
    new.write_text(PAGE.replace("Penstock", f"Penstock{marker}"))
    new.replace(folder / "index.html")
