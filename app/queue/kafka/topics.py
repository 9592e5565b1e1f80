"""The topics: made with what is configured, and checked to keep messages for long enough."""

import asyncio
import math
from collections.abc import Mapping

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, TopicAuthorizationFailedError, for_code

from app.errors import StartupError
from app.queue.kafka.clients import HEADERS_BYTES, kafka_admin, max_message_bytes
from app.settings import Settings

log = structlog.get_logger()

DAY_S = 86_400
RETRY_DELAY_S = 1.0
BATCH_BYTES = 1024


async def prepare_topics(settings: Settings) -> float:
    """Wait until Kafka answers, make the topics that are not there; for how many seconds jobs are kept.

    Raises StartupError where that can't be enough for any rule.
    """
    while True:
        admin = kafka_admin(settings)
        try:
            await admin.start()
            await _create(admin, settings)
            retention_s = await _retention_s(admin, settings)
            break
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("kafka_away", error=str(error))
        finally:
            await admin.close()
        await asyncio.sleep(RETRY_DELAY_S)
    require_retention(retention_s, 0.0, settings)
    return retention_s


def require_retention(retention_s: float, longest_wait_s: float, settings: Settings) -> None:
    """Raises StartupError where a message may go before its job has."""
    if retention_s <= longest_wait_s + DAY_S:
        raise StartupError(
            f"The topic {settings.kafka_topic} keeps messages for {retention_s:.0f} s: it must be more than a day "
            f"longer than a rule's longest max_wait_seconds, {longest_wait_s:.0f}. Raise its retention.ms."
        )


async def _create(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    size = max_message_bytes(settings) + BATCH_BYTES
    jobs = {"retention.ms": str(int(settings.kafka_retention_hours * 3_600_000)), "retention.bytes": "-1"}
    letters = {"max.message.bytes": str(size + HEADERS_BYTES)}
    for name, config in (
        (settings.kafka_topic, jobs | {"max.message.bytes": str(size), "cleanup.policy": "delete"}),
        (settings.kafka_dead_letter_topic, letters),
    ):
        topic = NewTopic(name, settings.kafka_partitions, settings.kafka_replication, topic_configs=config)
        for _, code, text in (await admin.create_topics([topic])).topic_errors:
            error = for_code(code)
            if error is TopicAuthorizationFailedError:  # then it was made by someone else, or describing it fails
                log.warning("topic_not_made", topic=name, error=text)
            elif code and error is not TopicAlreadyExistsError:
                if getattr(error, "retriable", False):
                    raise error(text)
                raise StartupError(f"The topic {name} cannot be made: {text or error.__name__}")


async def _retention_s(admin: AIOKafkaAdminClient, settings: Settings) -> float:
    """How long the jobs' topic keeps messages; infinite where it keeps them for ever."""
    names = ("retention.ms", "retention.bytes", "max.message.bytes", "cleanup.policy")
    resource = ConfigResource(ConfigResourceType.TOPIC, settings.kafka_topic, dict.fromkeys(names))
    [answer] = await admin.describe_configs([resource])
    [found] = answer.resources
    code, text, entries = found[0], found[1], found[-1]
    if code:
        error = for_code(code)
        if getattr(error, "retriable", False):
            raise error(text)
        raise StartupError(
            f"The retention of the topic {settings.kafka_topic} cannot be read: {text or error.__name__}"
        )
    return _judged({entry[0]: entry[1] for entry in entries}, settings)


def _judged(config: Mapping[str, str], settings: Settings) -> float:
    if "delete" not in config.get("cleanup.policy", "delete"):
        raise StartupError(f"The topic {settings.kafka_topic} is compacted: jobs of one flow would replace each other.")
    if int(config.get("retention.bytes", "-1")) != -1:
        log.warning("topic_bounded_by_bytes", topic=settings.kafka_topic, advice="jobs may go before their time")
    if int(config.get("max.message.bytes", "0")) < max_message_bytes(settings):
        log.warning("topic_takes_less_than_may_be_deferred", topic=settings.kafka_topic)
    retention_ms = int(config["retention.ms"])
    return math.inf if retention_ms < 0 else retention_ms / 1000
