"""What a process of Penstock does once at its start, done before processes are forked: `tests/support/forked.py`.

Imported last of all that is preloaded. Each forked process would otherwise import these modules, put the scripts
together, and copy the memory of all that was imported, because its first collection of garbage writes into it.
"""

import functools
import gc
from importlib.resources import files

import anyio._backends._asyncio  # noqa: F401 - httpx imports both with the first request
import httpcore  # noqa: F401
import redis.utils

from app.redis_wire.scripts import source

for _package in ("app.limiter", "app.queue"):
    for _file in (files(_package) / "lua").iterdir():
        if not _file.name.startswith("_"):
            source(_package, _file.name.removesuffix(".lua"))

# redis-py parses the metadata of its package for each connection.
redis.utils.get_lib_version = functools.cache(redis.utils.get_lib_version)

gc.collect()
gc.freeze()
