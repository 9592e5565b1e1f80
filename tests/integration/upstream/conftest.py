"""Everything here runs on both event loops: what a connection does at its end differs between them."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Production's first."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
