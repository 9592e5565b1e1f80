"""Transactions of MongoDB: what belongs together is done together, or not at all."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from app.clients import MongoDatabase, MongoSession
from app.errors import RulesUnavailable

WRITE_CONFLICT = 112

T = TypeVar("T")


async def in_transaction(
    database: MongoDatabase, write: Callable[[MongoSession], Coroutine[Any, Any, T]], timeout_s: float
) -> T:
    """Call `write` in a transaction, and again if it lost a race. The driver repeats what an election interrupts.

    Raises pymongo's errors, and RulesUnavailable if it is not done in time.
    """
    try:
        return await asyncio.wait_for(_until_committed(database, write), timeout_s)
    except TimeoutError as error:
        raise RulesUnavailable("MongoDB did not accept the rules in time.") from error


async def _until_committed(database: MongoDatabase, write: Callable[[MongoSession], Coroutine[Any, Any, T]]) -> T:
    while True:
        async with await database.client.start_session() as session:
            try:
                transaction: Any = session.with_transaction(write, ReadConcern("snapshot"), WriteConcern("majority"))
                result: T = await transaction
            except OperationFailure as error:
                if error.code != WRITE_CONFLICT:
                    raise
                await asyncio.sleep(random.uniform(0, 0.05))
            else:
                return result
