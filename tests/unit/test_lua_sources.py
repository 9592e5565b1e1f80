"""Scripts are made of the parts that they name: each of them has what it calls, and nothing twice."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.limiter.algorithms import ALGORITHMS
from app.redis_wire.scripts import source

QUEUE = Path(__file__).parents[2] / "app" / "queue" / "lua"
DEFINED = re.compile(r"^local (?:function )?(\w+)", re.MULTILINE)
SCRIPTS = sorted(file.stem for file in QUEUE.glob("[!_]*.lua"))
PARTS = {file.stem: set(DEFINED.findall(file.read_text())) for file in QUEUE.glob("_*.lua")}


def _called_of_parts(text: str) -> Iterator[str]:
    code = re.sub(r"--.*", "", text)
    for names in PARTS.values():
        yield from (name for name in names if re.search(rf"(?<![\w.']){name}\(", code))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_has_what_it_calls(name: str) -> None:
    text = source("app.queue", name)
    missing = [
        called for called in _called_of_parts(text) if not re.search(rf"^local (function )?{called}\b", text, re.M)
    ]
    assert missing == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_part_comes_twice_and_each_after_what_it_uses(name: str) -> None:
    text = source("app.queue", name)
    first_lines = {part: (QUEUE / f"{part}.lua").read_text().splitlines()[0] for part in PARTS}
    used = {part for part, first_line in first_lines.items() if first_line in text}
    assert "_names" in used
    for part in used:
        assert text.count(first_lines[part]) == 1
        for needed in re.findall(r"^-- USES +(.+)$", (QUEUE / f"{part}.lua").read_text(), re.MULTILINE):
            assert all(text.index(first_lines[one]) < text.index(first_lines[part]) for one in needed.split())
    assert text.endswith((QUEUE / f"{name}.lua").read_text())


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_has_no_function_that_nothing_calls(name: str) -> None:
    code = re.sub(r"--.*", "", source("app.queue", name))
    functions = re.findall(r"^local function (\w+)", code, re.MULTILINE)
    assert [function for function in functions if len(re.findall(rf"\b{function}\b", code)) == 1] == []


def test_a_script_without_parts_is_as_it_is() -> None:
    folder = Path(__file__).parents[2] / "app" / "limiter" / "lua"
    assert source("app.limiter", "set_backlog_marker") == (folder / "set_backlog_marker.lua").read_text()


def test_acquire_contains_the_part_of_every_registered_algorithm() -> None:
    folder = Path(__file__).parents[2] / "app" / "limiter" / "lua"
    parts = {file.stem.removeprefix("_algorithm_") for file in folder.glob("_algorithm_*.lua")}
    assert parts == set(ALGORITHMS)
    text = source("app.limiter", "acquire")
    assert all(text.count(f"function algorithms.{name}()") == 1 for name in ALGORITHMS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_header_says_what_a_script_needs_returns_and_costs(name: str) -> None:
    header = (QUEUE / f"{name}.lua").read_text().split("\n\n")[0]
    assert all(line.startswith("--") for line in header.splitlines())
    for word in ("USES ", "KEYS ", "ARGV ", "RETURN "):
        assert f"\n-- {word}" in header
    [cost] = re.findall(r"^-- COST +(.+)$", header, re.MULTILINE)
    assert re.match(r"O\((1|log n)\)", cost), "a script costs no more for each job that it touches"
