"""No dependency below a hole that we know of, installed or pinned.

This is a list kept by hand, not an audit: asking for new advisories (pip-audit) needs the network.
"""

import tomllib
from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.support.system import ROOT

FLOORS = {
    "pyjwt": (
        "2.13",
        "an unknown `crit` accepted (CVE-2026-32597, 2.12); a JWK as an HMAC secret (2.13)",
    ),
    "cryptography": ("46.0.7", "buffer overflow by non-contiguous buffers (CVE-2026-39892)"),
    "starlette": (
        "1.3.1",
        "a Host header that changes the URL's path (CVE-2026-48710); more, up to 1.3.1",
    ),
    "h11": ("0.16", "a malformed end of a chunk accepted: request smuggling (CVE-2025-43859)"),
    "aiohttp": ("3.13.4", "unlimited trailers (CVE-2026-22815), two Host headers (CVE-2026-34525)"),
    "orjson": ("3.11.6", "no limit to recursion: loads (CVE-2024-27454), dumps (CVE-2025-67221)"),
    "redis": ("4.5.4", "a cancelled command leaves its answer to the next one's caller (CVE-2023-28859)"),
    "pymongo": ("4.6.3", "a read out of bounds in BSON (CVE-2024-5629)"),
    "pyyaml": ("5.4", "code run by full_load (CVE-2020-14343)"),
    "idna": ("3.7", "quadratic time in encode (CVE-2024-3651)"),
}
ALWAYS_PINNED = {"pyjwt", "cryptography", "starlette", "h11", "aiohttp", "orjson", "redis", "pyyaml"}


def pins() -> dict[str, str]:
    """Of pyproject.toml: name to version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    found = {}
    for requirement in (Requirement(text) for listed in lists for text in listed):
        if requirement.name == project["name"]:  # another of the lists
            continue
        (pin,) = requirement.specifier
        assert pin.operator == "==", requirement
        found[requirement.name.lower()] = pin.version
    return found


@pytest.mark.parametrize("name", FLOORS)
def test_what_is_installed_is_above_its_known_holes(name: str) -> None:
    floor, why = FLOORS[name]
    try:
        installed = version(name)
    except PackageNotFoundError:
        assert name not in pins(), f"{name} is pinned and not installed"
        return
    assert Version(installed) >= Version(floor), why


@pytest.mark.parametrize("name", sorted(ALWAYS_PINNED))
def test_what_is_pinned_is_above_its_known_holes(name: str) -> None:
    floor, why = FLOORS[name]
    assert Version(pins()[name]) >= Version(floor), why
