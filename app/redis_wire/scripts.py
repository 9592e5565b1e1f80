"""Lua scripts: one loader, and calls by digest over the process's one connection to a Redis."""

import asyncio
import re
from collections.abc import Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from redis.exceptions import NoScriptError

from app.redis_wire.node import Node, Nodes
from app.redis_wire.resp import Argument, array, bulk, bulks, command

__all__ = ["Argument", "Script", "Scripts", "source"]

_USES = re.compile(r"^-- USES +(.+)$", re.MULTILINE)


@cache
def source(package: str, name: str) -> str:
    """The text of `<package>/lua/<name>.lua`, after the parts it names (`-- USES _one _other`), and those they name."""
    texts: dict[str, str] = {}
    _collect(files(package) / "lua", name, texts)
    return "\n".join(texts.values())


def _collect(folder: Traversable, name: str, texts: dict[str, str]) -> None:
    text = (folder / f"{name}.lua").read_text(encoding="utf-8")
    used = _USES.search(text)
    for part in used[1].split() if used else ():
        if part not in texts:
            _collect(folder, part, texts)
    texts[name] = text


class Script:
    """One script, and what its calls begin with."""

    def __init__(self, text: str) -> None:
        self._load = command("SCRIPT", "LOAD", text)
        self._evalsha = bulk("EVALSHA") + bulk(sha1(text.encode(), usedforsecurity=False).hexdigest())
        self._heads: dict[tuple[int, int], bytes] = {}
        self._loading: asyncio.Future[Any] | None = None

    def head(self, keys: int, arguments: int) -> bytes:
        """A call with so many keys and arguments, up to the first key."""
        head = self._heads.get((keys, arguments))
        if head is None:
            head = array(3 + keys + arguments) + self._evalsha + bulk(keys)
            if keys + arguments <= _USUAL:
                self._heads[keys, arguments] = head
        return head

    async def load(self, node: Node) -> None:
        """Make it known; all who wait for it at once share one round trip."""
        if self._loading is None or self._loading.done():
            self._loading = node.call(self._load)
        await asyncio.shield(self._loading)


_USUAL = 64


class Scripts:
    """The scripts of one package on one Redis.

    A call that a caller gives up goes on by itself, and no later caller reads its answer. RedisConnection trouble and
    time-outs raise the node's `unavailable`; what a script itself rejects raises redis-py's ResponseError.
    """

    def __init__(self, nodes: Nodes, package: str) -> None:
        self._nodes = nodes
        self._package = package
        self._scripts: dict[str, Script] = {}

    def script(self, name: str) -> Script:
        """One of the package's scripts."""
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = Script(source(self._package, name))
        return script

    async def load(self) -> None:
        """Connect, and make all scripts known, before the first call is in a hurry. Raises the node's `unavailable`."""
        node = self._nodes.of("")
        for file in sorted((files(self._package) / "lua").iterdir(), key=lambda file: file.name):
            if not file.name.startswith("_"):
                await self.script(file.name.removesuffix(".lua")).load(node)

    async def call(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Any:  # noqa: ANN401 - a script's own
        """Run one script; everything called in this turn of the event loop goes out together."""
        script = self.script(name)
        return await self.run(script, keys[0], script.head(len(keys), len(args)) + bulks((*keys, *args)))

    async def run(self, script: Script, key: str, packed: bytes) -> Any:  # noqa: ANN401 - a script's own
        """The same with the whole call as bytes, where `key` is the first of its keys."""
        node = self._nodes.of(key)
        try:
            return await node.call(packed)
        except NoScriptError:  # it did nothing: it is safe to call it again
            await script.load(node)
        try:
            return await node.call(packed)
        except NoScriptError as error:
            raise node.unavailable("Redis forgets its scripts as soon as they are loaded.") from error

    async def ask(self, key: str, *words: Argument) -> Any:  # noqa: ANN401 - a command's own
        """A plain command about one key, by the same way."""
        return await self._nodes.of(key).call(command(*words))

    async def aclose(self) -> None:
        """End the connections beneath."""
        await self._nodes.aclose()
