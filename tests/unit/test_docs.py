"""The documentation is true as far as code can tell: generated pages, links, names, paths, examples of rules."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from fastapi import APIRouter
from fastapi.routing import APIRoute

from app import errors
from app.admin.rest import audit, dead_letters, drains, explain, rules, sign_in
from app.admin.rest import jobs as admin_jobs
from app.edge.routes import health, jobs, jwks, limits
from app.rules.model import parse_rule
from scripts.reference_pages import pages
from tests.support.documents import Document, documents

ROOT = Path(__file__).parents[2]
DOCUMENTS = documents()
BY_PATH = {document.path: document for document in DOCUMENTS}
SOURCES = [file for folder in ("app", "consumers", "sync") for file in sorted((ROOT / folder).rglob("*"))]
CODE = "\n".join(file.read_text() for file in SOURCES if file.suffix in {".py", ".lua"})
README_LINES = 150
LANGUAGES = {"console", "js", "bash", "sh", "text", "toml", "yaml", "json", "python"}
PATH = re.compile(r"`((?:app|consumers|sync|tests|scripts|docs|\.ci)/[\w./-]*)`")
SENTENCE = re.compile(r"`([A-Z…][^`\n]* [^`\n]*[.…])`")
ERROR_CODES = re.compile(r"""["']((?:upstream_[a-z]+)|attempts_exhausted|expired|rule_deleted)["']""")

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
every_current_document = pytest.mark.parametrize(
    "document", [one for one in DOCUMENTS if one.name != "CHANGELOG.md"], ids=lambda document: document.name
)


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_generated_pages_are_current(path: Path) -> None:
    assert path.read_text() == pages()[path], f"{path.relative_to(ROOT)} is not current: run scripts/docs"


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


@every_document
def test_links_lead_somewhere(document: Document) -> None:
    for link in document.links:
        if link.startswith(("https://", "http://")):
            continue
        target, _, anchor = link.partition("#")
        path = (document.path.parent / target).resolve() if target else document.path
        assert path.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in BY_PATH[path].anchors, f"{link}: there is no such heading"


@every_document
def test_code_blocks_are_in_known_languages(document: Document) -> None:
    assert document.languages - {""} <= LANGUAGES
    assert all(block.startswith("$ ") for block in document.blocks("console"))


@every_current_document
def test_paths_exist(document: Document) -> None:
    missing = [path for path in PATH.findall(document.text) if not (ROOT / path).exists()]
    assert missing == []


@every_current_document
def test_settings_that_are_named_exist(document: Document) -> None:
    settings = (ROOT / "docs/reference/settings.md").read_text()
    known = set(re.findall(r"PENSTOCK_[A-Z0-9_]+", settings + scripts_and_tests()))
    named = set(re.findall(r"PENSTOCK_[A-Z0-9_]*[A-Z0-9]", document.text))
    assert {name for name in named if not any(one.startswith(name) for one in known)} == set()


@every_current_document
def test_metrics_that_are_named_exist(document: Document) -> None:
    reference = (ROOT / "docs/reference/metrics.md").read_text()
    known = set(re.findall(r"`(penstock_\w+)`", reference)) | {"penstock_role"}
    assert set(re.findall(r"\b(penstock_[a-z_]+[a-z])\b", document.text)) <= known


def test_every_metric_is_in_the_reference() -> None:
    reference = (ROOT / "docs/reference/metrics.md").read_text()
    in_code = set(re.findall(r'"(penstock_[a-z_]+)"', CODE)) - {"penstock_role"}
    assert {name for name in in_code if name not in reference} == set()


@every_current_document
def test_details_that_are_quoted_are_in_the_code(document: Document) -> None:
    """A code span that is a sentence is what Penstock says; `…` stands for what differs."""
    parts = {part.strip() for sentence in SENTENCE.findall(document.text) for part in sentence.split("…")}
    assert {part for part in parts if part not in CODE} == set()


@every_document
def test_rules_in_examples_are_valid(document: Document) -> None:
    for block in document.blocks("yaml"):
        example = yaml.safe_load(block)
        assert {"rules", "scrape_configs"} & set(example)  # test_compose.py holds the latter
        for rule in example.get("rules", ()):
            parse_rule(rule)


@every_document
def test_json_in_examples_is_json(document: Document) -> None:
    for block in document.blocks("json"):
        json.loads(block)


def test_every_page_is_in_the_index() -> None:
    index = BY_PATH[ROOT / "docs/README.md"]
    listed = {(index.path.parent / link.partition("#")[0]).resolve() for link in index.links}
    in_troubleshooting = {
        path for path in BY_PATH if path.parent.name == "troubleshooting" and path.name != "README.md"
    }
    assert {path for path in BY_PATH if (ROOT / "docs") in path.parents} - in_troubleshooting - {index.path} <= listed


def test_every_status_and_error_code_has_a_page() -> None:
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.PenstockError)]
    statuses = {str(int(one.status)) for one in classes if one is not errors.ClientGone}
    codes = set(ERROR_CODES.findall(CODE))
    assert {"attempts_exhausted", "expired", "rule_deleted"} <= codes
    index = BY_PATH[ROOT / "docs/troubleshooting/README.md"]
    for name in statuses | codes:
        assert (index.path.parent / f"{name}.md").exists(), f"docs/troubleshooting/{name}.md is missing"
        assert f"{name}.md" in index.links


def test_the_map_of_folders_equals_the_tree() -> None:
    architecture = BY_PATH[ROOT / "docs/architecture.md"]
    (block,) = [block for block in architecture.blocks("text") if block.startswith("app/\n")]
    assert sorted(entries(block)) == sorted(tree())  # each once


def test_every_route_is_in_the_reference() -> None:
    http = (ROOT / "docs/reference/http.md").read_text()
    admin = (ROOT / "docs/reference/admin-api.md").read_text()
    in_edge = routes("/_penstock", jobs.router, limits.router, health.router, jwks.router)
    routers = (rules, drains, dead_letters, explain, audit, admin_jobs, sign_in)
    in_admin = routes("/v1", *(each.router for each in routers))
    assert {route for route in in_edge if f"{route}`" not in http} == set()
    assert {route for route in in_admin if f"{route}`" not in admin} == set()


def entries(block: str) -> list[str]:
    """The paths that the map names: the first word of each line, below the line that it is indented under."""
    found: list[str] = []
    parents = [""]
    for line in block.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        path = parents[depth] + name
        found.append(path)
        parents[depth + 1 :] = [path]
    return found


def tree() -> set[str]:
    """The folders at the top, and what is directly in app/, consumers/ and sync/: all packages, the modules of app/."""
    found = set()
    for file in tracked():
        if len(file.parts) > 1 and not file.parts[0].startswith("."):
            found.add(f"{file.parts[0]}/")
        if len(file.parts) > 2 and file.parts[0] in {"app", "consumers", "sync"} and file.suffix == ".py":
            found.add(f"{file.parts[0]}/{file.parts[1]}/")
        if len(file.parts) == 2 and file.parts[0] == "app" and file.name not in {"__init__.py", "py.typed"}:
            found.add(str(file))
    return found


def tracked() -> list[Path]:
    """What is committed, or about to be."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [Path(name) for name in names if (ROOT / name).exists()]


def routes(prefix: str, *routers: APIRouter) -> set[str]:
    return {f"{prefix}{route.path}" for router in routers for route in router.routes if isinstance(route, APIRoute)}


def scripts_and_tests() -> str:
    """What may name variables that are not settings of a process."""
    return "\n".join(
        (ROOT / file).read_text()
        for file in tracked()
        if file.parts[0] in {"scripts", "tests", "setup.py", ".ci"}
        and file.suffix in {"", ".py"}
        and (ROOT / file).is_file()
    )
