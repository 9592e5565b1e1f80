"""The one loader of Lua scripts: package data, static text, run by EVALSHA."""

from functools import cache
from importlib.resources import files

from redis.asyncio import Redis
from redis.commands.core import AsyncScript


@cache
def source(package: str, name: str) -> str:
    """The text of `<package>/lua/<name>.lua`."""
    return (files(package) / "lua" / f"{name}.lua").read_text(encoding="utf-8")


def script(redis: Redis, package: str, name: str) -> AsyncScript:
    """A script bound to a client; it loads itself where the server does not know it."""
    return redis.register_script(source(package, name))
