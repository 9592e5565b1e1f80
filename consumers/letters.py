"""Letters: dead letters told to a topic, where a person can read them with kcat."""

import asyncio

import structlog

from app.errors import BodyTooLarge, QueueUnavailable
from app.queue.messages import CURRENT, VERSION
from app.queue.producing import Producing
from app.queue.transit import Letter, Transit
from app.settings import Settings

log = structlog.get_logger()

EVERY_S = 0.5
WITHIN_S = 10.0


async def tell_periodically(transit: Transit, producing: Producing, settings: Settings) -> None:
    """Produce what no worker has told yet, at least once each; runs until cancelled."""
    while True:
        for partition in range(settings.queue_partitions):
            try:
                for letter in await transit.letters(partition, WITHIN_S):
                    await _tell(letter, producing, settings.kafka_dead_letter_topic)
                    await transit.told(letter)
            except QueueUnavailable as error:
                log.warning("letters_wait", error=str(error))
        await asyncio.sleep(EVERY_S)


async def _tell(letter: Letter, producing: Producing, topic: str) -> None:
    rule, _, _ = letter.flow.partition("|")
    headers = {
        VERSION: CURRENT.decode(),
        "job": letter.job_id,
        "rule": rule,
        "flow": letter.flow,
        "attempts": str(letter.attempts),
        "reason": letter.code,
        "message": letter.message,
    }
    encoded = [(name, value.encode()) for name, value in headers.items()]
    try:
        await producing.produce(topic, letter.flow.encode(), letter.request, encoded)
    except BodyTooLarge:
        await producing.produce(topic, letter.flow.encode(), b"", encoded)
