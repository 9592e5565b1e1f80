"""No dependency is older than its known holes: not installed, not pinned, and not allowed by pyproject.toml.

The list is kept by hand. It is not an audit: asking for new advisories (pip-audit) needs the network.
"""

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]

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
TRANSITIVE = {"idna"}
OF_THE_ENVIRONMENT = {"penstock", "pip"}
"""Installed, but not a dependency: the project itself, and what a new environment brings."""

PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.+!]*(; [a-z_0-9.'<>=! ]+)?")


def pins(file: str) -> dict[str, str]:
    """Name to version."""
    requirements = [Requirement(line) for line in (ROOT / file).read_text().splitlines()]
    return {canonicalize_name(r.name): next(iter(r.specifier)).version for r in requirements}


def allowed() -> list[Requirement]:
    """The ranges of pyproject.toml, of the project and its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    requirements = [Requirement(text) for listed in lists for text in listed]
    return [requirement for requirement in requirements if requirement.name != project["name"]]


def compared() -> list[Requirement]:
    """The ranges of what the benchmarks compare with."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return [Requirement(text) for text in groups["bench"]]


def lower_bound(requirement: Requirement) -> Version:
    (bound,) = [Version(s.version) for s in requirement.specifier if s.operator == ">="]
    return bound


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-bench.txt"])
def test_a_constraints_file_has_only_sorted_pins(file: str) -> None:
    lines = (ROOT / file).read_text().splitlines()
    assert [line for line in lines if not PIN.fullmatch(line)] == []
    names = [canonicalize_name(re.split("==", line)[0]) for line in lines]
    assert names == sorted(set(names))


def test_everything_that_is_installed_is_pinned_at_its_version() -> None:
    pinned = pins("constraints.txt")
    installed = {canonicalize_name(found.metadata["Name"]): found.version for found in distributions()}
    differing = {
        name: (version, pinned.get(name))
        for name, version in installed.items()
        if name not in OF_THE_ENVIRONMENT and version != pinned.get(name)
    }
    assert differing == {}, "run scripts/pin after a change of the dependencies"


def test_every_pin_is_within_the_range_that_is_allowed() -> None:
    for file, requirements in (("constraints.txt", allowed()), ("constraints-bench.txt", compared())):
        pinned = pins(file)
        for requirement in requirements:
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_every_range_has_both_bounds() -> None:
    for requirement in [*allowed(), *compared()]:
        assert sorted(s.operator for s in requirement.specifier) == ["<", ">="], requirement


@pytest.mark.parametrize("name", FLOORS)
def test_what_is_pinned_is_above_its_known_holes(name: str) -> None:
    floor, why = FLOORS[name]
    assert Version(pins("constraints.txt")[name]) >= Version(floor), why


@pytest.mark.parametrize("name", sorted(FLOORS.keys() - TRANSITIVE))
def test_what_is_allowed_is_above_its_known_holes(name: str) -> None:
    floor, why = FLOORS[name]
    (bound,) = [lower_bound(requirement) for requirement in allowed() if canonicalize_name(requirement.name) == name]
    assert bound >= Version(floor), why
