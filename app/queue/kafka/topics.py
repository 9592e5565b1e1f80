"""Creates the topics, and checks that the jobs' topic keeps its messages for long enough."""

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
BATCH_OVERHEAD_BYTES = 1024
CHECKED_CONFIG = ("retention.ms", "retention.bytes", "max.message.bytes", "cleanup.policy")


async def prepare_topics(settings: Settings) -> float:
    """Wait until Kafka answers, create the missing topics, and return the retention of the jobs' topic in seconds.

    Raises StartupError where a topic cannot be created, or where the jobs' topic would lose jobs.
    """
    while True:
        admin = kafka_admin(settings)
        try:
            await admin.start()
            await _create_missing(admin, settings)
            retention_s = _checked_retention_s(await _topic_config(admin, settings.kafka_topic), settings)
            break
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("kafka_unavailable", error=str(error))
        finally:
            await admin.close()
        await asyncio.sleep(RETRY_DELAY_S)
    require_retention(retention_s, 0.0, settings)
    return retention_s


def require_retention(retention_s: float, longest_wait_s: float, settings: Settings) -> None:
    """Raise StartupError unless messages are kept for more than a day longer than the longest wait of a job."""
    if retention_s <= longest_wait_s + DAY_S:
        raise StartupError(
            f"The topic {settings.kafka_topic} keeps messages for {retention_s:.0f} s: it must be more than a day "
            f"longer than a rule's longest max_wait_seconds, {longest_wait_s:.0f}. Raise its retention.ms."
        )


async def _create_missing(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    max_bytes = max_message_bytes(settings) + BATCH_OVERHEAD_BYTES
    jobs = {
        "retention.ms": str(int(settings.kafka_retention_hours * 3_600_000)),
        "retention.bytes": "-1",
        "max.message.bytes": str(max_bytes),
        "cleanup.policy": "delete",
    }
    dead_letters = {"max.message.bytes": str(max_bytes + HEADERS_BYTES)}
    for name, config in ((settings.kafka_topic, jobs), (settings.kafka_dead_letter_topic, dead_letters)):
        topic = NewTopic(name, settings.kafka_partitions, settings.kafka_replication, topic_configs=config)
        for _, code, text in (await admin.create_topics([topic])).topic_errors:
            _check_created(name, code, text)


def _check_created(topic: str, code: int, text: str | None) -> None:
    error = for_code(code)
    if code == 0 or error is TopicAlreadyExistsError:
        return
    if error is TopicAuthorizationFailedError:
        # Someone else may have created the topic. If nobody has, reading its configuration fails.
        log.warning("topic_not_created", topic=topic, error=text)
        return
    if getattr(error, "retriable", False):
        raise error(text)
    raise StartupError(f"The topic {topic} cannot be created: {text or error.__name__}")


async def _topic_config(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, dict.fromkeys(CHECKED_CONFIG))
    [answer] = await admin.describe_configs([resource])
    [found] = answer.resources
    code, text, entries = found[0], found[1], found[-1]  # what is between them differs by the version of the protocol
    if code:
        error = for_code(code)
        if getattr(error, "retriable", False):
            raise error(text)
        raise StartupError(f"The configuration of the topic {topic} cannot be read: {text or error.__name__}")
    return {entry[0]: entry[1] for entry in entries}


def _checked_retention_s(config: Mapping[str, str], settings: Settings) -> float:
    """For how many seconds the topic keeps a message; infinity if it keeps them forever."""
    topic = settings.kafka_topic
    if "delete" not in config.get("cleanup.policy", "delete"):
        raise StartupError(f"The topic {topic} is compacted: later jobs of a flow would replace earlier ones.")
    if int(config.get("retention.bytes", "-1")) != -1:
        log.warning("topic_bounded_by_bytes", topic=topic, advice="set retention.bytes to -1, or jobs may be lost")
    if int(config.get("max.message.bytes", "0")) < max_message_bytes(settings):
        log.warning("topic_refuses_largest_messages", topic=topic, advice="raise max.message.bytes")
    retention_ms = int(config["retention.ms"])
    return math.inf if retention_ms < 0 else retention_ms / 1000
