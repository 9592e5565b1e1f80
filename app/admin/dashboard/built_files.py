"""The built dashboard in memory: every file with its compressed forms, and the page that loads the others."""

import hashlib
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cramjam

INDEX = "index.html"
ASSETS = "assets/"
"""The folder of files whose names contain a hash of what is in them, so that they never change."""

MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
NOT_COMPRESSED = frozenset({".ico", ".png", ".woff2"})
MAX_FILE_BYTES = 16 << 20
BROTLI_QUALITY = 9
GZIP_LEVEL = 9

_GZIP_FORMAT = 16 + zlib.MAX_WBITS
_BASE = re.compile(r"<base [^>]*>")


@dataclass(frozen=True, slots=True)
class BuiltFile:
    """One file. `encoded` has its content by content coding, where that is shorter."""

    content: bytes
    media_type: str
    etag: str
    encoded: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class BuiltFiles:
    """One build: the page, and the other files by their paths."""

    index: BuiltFile
    files: Mapping[str, BuiltFile]


def read_built(folder: Path, base_path: str) -> BuiltFiles:
    """Read a build. In the page, addresses begin at `base_path`. Raises OSError, and ValueError for a broken build."""
    page = (folder / INDEX).read_text()
    paths = sorted(path for path in folder.rglob("[!.]*") if path.is_file() and path.name != INDEX)
    files = {path.relative_to(folder).as_posix(): built_file(path.suffix, _content(path)) for path in paths}
    return BuiltFiles(built_file(".html", _with_base(page, base_path).encode()), files)


def built_file(suffix: str, content: bytes) -> BuiltFile:
    """Return a file with its compressed forms."""
    codings = {} if suffix in NOT_COMPRESSED else {"br": _brotli(content), "gzip": _gzip(content)}
    return BuiltFile(
        content,
        MEDIA_TYPES.get(suffix, "application/octet-stream"),
        f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        {coding: encoded for coding, encoded in codings.items() if len(encoded) < len(content)},
    )


def _content(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    return path.read_bytes()


def _with_base(page: str, base_path: str) -> str:
    """Let the page's relative addresses begin at the base path, wherever in the dashboard it is opened."""
    base = f'<base href="{base_path}/">'
    found, count = _BASE.subn(base, page, count=1)
    if count == 0:
        raise ValueError(f"{INDEX} has no <base>")
    return found


def _brotli(content: bytes) -> bytes:
    return bytes(cramjam.brotli.compress(content, level=BROTLI_QUALITY))


def _gzip(content: bytes) -> bytes:
    compressor = zlib.compressobj(GZIP_LEVEL, wbits=_GZIP_FORMAT)
    return compressor.compress(content) + compressor.flush()
