"""Reads the documentation: its pages, their links and anchors, and the examples in their code blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """A command as the documentation shows it, and the output that it should have."""

    command: str
    output: str


@dataclass(frozen=True)
class Document:
    """A Markdown page."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    def blocks(self, *languages: str) -> list[str]:
        """The contents of the code blocks in these languages."""
        return [content for language, content in FENCE.findall(self.text) if language in languages]

    @property
    def languages(self) -> set[str]:
        return {language for language, _ in FENCE.findall(self.text)}

    @property
    def links(self) -> list[str]:
        """The targets of all links, without those in code blocks."""
        return LINK.findall(FENCE.sub("", self.text))

    @property
    def anchors(self) -> set[str]:
        """What links to a heading of this page may name, in GitHub's form."""
        found: set[str] = set()
        for heading in HEADING.findall(FENCE.sub("", self.text)):
            slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            again = re.compile(rf"{re.escape(slug)}(-\d+)?")
            count = sum(again.fullmatch(anchor) is not None for anchor in found)
            found.add(f"{slug}-{count}" if count else slug)
        return found

    @property
    def examples(self) -> list[Example]:
        """The commands of its console blocks: `$ ` begins one, `> ` continues it, all else is output."""
        return [example for block in self.blocks("console") for example in _examples(block)]


def documents() -> list[Document]:
    """README.md and the other pages at the top, and all of docs/."""
    paths = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
    return [Document(path, path.read_text()) for path in paths]


def _examples(block: str) -> Iterator[Example]:
    command, output = "", ""
    for line in block.splitlines():
        if line.startswith("$ "):
            if command:
                yield Example(command, output)
            command, output = line[2:], ""
        elif line.startswith("> ") and not output:
            command += "\n" + line[2:]
        else:
            output += line + "\n"
    yield Example(command, output)
