"""Loads Lua scripts, and calls them by their digest over the connection of a node."""

import asyncio
import fnmatch
from collections.abc import Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

from app.redis_wire.lua_parts import LuaPart, join_lua_parts, parse_lua_part
from app.redis_wire.node import Node, Nodes
from app.redis_wire.resp import Argument, array, bulk, bulks, command

__all__ = ["Argument", "Script", "Scripts", "source"]

MAX_CACHED_ARGUMENTS = 64
"""The beginnings of calls with more keys and arguments than this are not cached."""


@cache
def source(package: str, name: str) -> str:
    """The text of `<package>/lua/<name>.lua`, preceded by the parts that it and they name (`-- USES _one _more_*`).

    Functions of parts that nothing calls are left out.
    """
    parts: dict[str, LuaPart] = {}
    _collect(package, name, parts)
    return join_lua_parts(parts.values())


def _collect(package: str, name: str, parts: dict[str, LuaPart]) -> None:
    part = _part(package, name)
    for pattern in part.uses:
        for used in _parts(package, pattern):
            if used not in parts:
                _collect(package, used, parts)
    parts[name] = part


@cache
def _part(package: str, name: str) -> LuaPart:
    """The file of this name, which several scripts may use."""
    return parse_lua_part((files(package) / "lua" / f"{name}.lua").read_text(encoding="utf-8"))


def _parts(package: str, pattern: str) -> list[str]:
    """The parts that a word after USES names: one, or, where it has a `*`, all that match, in alphabetical order."""
    if "*" not in pattern:
        return [pattern]
    names = [file.name.removesuffix(".lua") for file in (files(package) / "lua").iterdir()]
    return sorted(fnmatch.filter(names, pattern))


class Script:
    """One script, and the encoded beginning of its calls."""

    def __init__(self, text: str) -> None:
        self._load = command("SCRIPT", "LOAD", text)
        self._evalsha = bulk("EVALSHA") + bulk(sha1(text.encode(), usedforsecurity=False).hexdigest())
        self._heads: dict[tuple[int, int], bytes] = {}
        self.last_load: asyncio.Future[Any] | None = None
        """The latest attempt to load it; it may have ended."""

    def head(self, keys: int, arguments: int) -> bytes:
        """The encoded beginning of a call with so many keys and arguments, up to the first key."""
        head = self._heads.get((keys, arguments))
        if head is None:
            head = array(3 + keys + arguments) + self._evalsha + bulk(keys)
            if keys + arguments <= MAX_CACHED_ARGUMENTS:
                self._heads[keys, arguments] = head
        return head

    async def load(self, node: Node, load_before: asyncio.Future[Any] | None) -> None:
        """Load the script into Redis, or wait for the load that has begun since `last_load` was `load_before`.

        So the calls that Redis has refused because it does not know the script share one load, even those whose refusal
        arrives together with the reply to that load.
        """
        load = self.last_load
        if load is None or load is load_before:
            load = self.last_load = node.call(self._load)
        await asyncio.shield(load)


class Scripts:
    """The scripts of one package, on one Redis server.

    Calls raise the node's `unavailable` if the connection fails or a reply does not arrive in time, and redis-py's
    ResponseError if the script raises an error. A call whose caller is cancelled is still executed by Redis.
    """

    def __init__(self, nodes: Nodes, package: str) -> None:
        self._nodes = nodes
        self._package = package
        self._scripts: dict[str, Script] = {}

    def script(self, name: str) -> Script:
        """The script of this name."""
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = Script(source(self._package, name))
        return script

    async def load(self) -> None:
        """Connect and load all scripts, so that the first calls need not wait. Raises the node's `unavailable`."""
        node = self._nodes.node_for("")
        for file in sorted((files(self._package) / "lua").iterdir(), key=lambda file: file.name):
            if not file.name.startswith("_"):
                script = self.script(file.name.removesuffix(".lua"))
                await script.load(node, script.last_load)

    async def call(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Any:  # noqa: ANN401 - whatever the script returns
        """Call a script. All calls of one iteration of the event loop are sent together."""
        script = self.script(name)
        return await self.run(script, keys[0], script.head(len(keys), len(args)) + bulks((*keys, *args)))

    async def run(self, script: Script, key: str, packed: bytes) -> Any:  # noqa: ANN401 - whatever the script returns
        """Call a script with an encoded call, whose first key is `key`."""
        node = self._nodes.node_for(key)
        load_before = script.last_load
        try:
            return await node.call(packed)
        except NoScriptError:  # nothing was executed, so it is safe to call again
            await script.load(node, load_before)
        try:
            return await node.call(packed)
        except NoScriptError as error:
            raise node.unavailable("Redis does not keep the scripts that are loaded into it.") from error

    async def execute(self, key: str, *words: Argument) -> Any:  # noqa: ANN401 - whatever the command returns
        """Execute a command about one key."""
        return await self._nodes.node_for(key).call(command(*words))

    async def aclose(self) -> None:
        """Close the connections of the nodes."""
        await self._nodes.aclose()
