"""Files of Lua that scripts are made of, and which of their functions a script needs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_USES = re.compile(r"^-- USES +(.+)$", re.MULTILINE)
_FUNCTION = re.compile(r"^local function (\w+)\(.*?^end\n", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"--.*")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class LuaSection:
    """A top-level function, or what stands before, between or after functions, which has no name.

    `words`: those of the code, so also the names of all functions that it calls.
    """

    name: str
    text: str
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class LuaPart:
    """One file: the patterns of those that it uses (`-- USES _one _more_*`), and its sections in their order."""

    uses: tuple[str, ...]
    sections: tuple[LuaSection, ...]


def parse_lua_part(text: str) -> LuaPart:
    """Split the text of a file into its sections."""
    sections, at = [], 0
    for function in _FUNCTION.finditer(text):
        sections += [_section("", text[at : function.start()]), _section(function[1], function[0])]
        at = function.end()
    used = _USES.search(text)
    return LuaPart(tuple(used[1].split()) if used else (), (*sections, _section("", text[at:])))


def join_lua_parts(parts: Iterable[LuaPart]) -> str:
    """Return the text of all parts without the functions that nothing calls.

    Every call of a script makes a closure of each of its functions, which takes longer than most commands.
    """
    of_parts = [part.sections for part in parts]
    called = _called([section for sections in of_parts for section in sections])
    return "\n".join(
        "".join(section.text for section in sections if not section.name or section.name in called)
        for sections in of_parts
    )


def _section(name: str, text: str) -> LuaSection:
    return LuaSection(name, text, frozenset(_WORD.findall(_COMMENT.sub("", text))))


def _called(sections: list[LuaSection]) -> set[str]:
    """Return the names of the functions that the code outside of functions calls, directly or through others."""
    functions: dict[str, frozenset[str]] = {}
    for section in sections:
        if section.name:
            functions[section.name] = functions.get(section.name, frozenset()) | section.words
    found: set[str] = set()
    new = {word for section in sections if not section.name for word in section.words} & functions.keys()
    while new:
        found |= new
        new = {word for name in new for word in functions[name]} & functions.keys() - found
    return found
