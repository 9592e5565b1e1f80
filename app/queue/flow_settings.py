"""What operators have set for flows: a pause, and a rate.

Settings belong to a descriptor under a rule: to the flows of a caller there, or to all flows that share a counter. They
are kept in the queue Redis, beside the flows that they are about: they are as durable as the jobs, nobody drains a flow
without being able to read them, and they hold while MongoDB or the cache is away.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from redis.asyncio import Redis

from app.errors import Conflict
from app.limiter.keys import DRAIN_SUFFIX
from app.limiter.policy import Policy
from app.queue import keys
from app.queue.flow_name import caller_of, own_rule
from app.queue.reads import read
from app.redis_wire.scripts import Scripts
from app.rules.active import ActiveRule

FIRST = 0
"""The partition that holds the settings."""

MAX_SETTINGS = 10_000
REMEMBERED_MS = 30 * 86_400_000
SETTINGS_A_SCAN = 500


@dataclass(frozen=True, slots=True)
class FlowRate:
    """A rate of flows: jobs (of cost 1) per window, and how many at once."""

    limit: int
    window_s: float
    burst: int = 1


@dataclass(frozen=True, slots=True)
class FlowSetting:
    """What is set for the flows of a descriptor under a rule. `version` orders the changes of all settings.

    Where nothing is set any more (`removed`), it says only that a rate was removed.
    """

    rule_id: str
    descriptor: str
    paused: bool
    rate: FlowRate | None
    version: int
    changed_at_ms: int
    changed_by: str

    @property
    def name(self) -> str:
        """What it is called among the settings: `<rule id>|<descriptor>`."""
        return f"{self.rule_id}|{self.descriptor}"

    @property
    def removed(self) -> bool:
        """Whether nothing is set any more."""
        return not self.paused and self.rate is None


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A change, with the setting before and after it; None where nothing was or is set."""

    before: FlowSetting | None
    after: FlowSetting | None


def setting_names(flow: str) -> tuple[str, ...]:
    """The names of the settings that a flow obeys: that of its own counter, and its caller's where that is shared."""
    own = own_rule(flow)
    caller = caller_of(flow)
    return (own.counter,) if caller == own.descriptor else (own.counter, f"{own.rule_id}|{caller}")


def rated_policies(rule: ActiveRule, setting: FlowSetting | None) -> Sequence[Policy]:
    """The quotas from which a rule's flows drain where this is set for their counter.

    A flow's rate takes the place of the rule's drain rate. Where the rule has none, its limits hold as well. Revisions
    rise with each change of the rule and of the setting, so that what was spent stays spent.
    """
    if setting is None:
        return rule.drain_policies
    if setting.rate is not None:
        rate = rate_policy(rule, setting.rate, setting.version)
        return (rate, *rule.drain_policies[1:]) if rule.has_own_drain_rate else (*rule.drain_policies, rate)
    if not rule.has_own_drain_rate:
        return rule.drain_policies
    own, *places = rule.drain_policies
    return (replace(own, revision=rule.revision + setting.version), *places)


def rate_policy(rule: ActiveRule, rate: FlowRate, version: int) -> Policy:
    """The quota of a rate that was set for flows of a rule."""
    return Policy(
        rate.limit, rate.window_s, rate.burst, rule.revision + version, "gcra", name=rule.rule_id, suffix=DRAIN_SUFFIX,
        headroom_ms=rule.rule.headroom_ms,
    )  # fmt: skip


class FlowSettingStore:
    """Reads and changes settings. Every method raises QueueUnavailable."""

    def __init__(self, redis: Redis, scripts: Scripts) -> None:
        self._redis = redis
        self._scripts = scripts
        self._key = keys.flow_settings(FIRST)

    async def version(self) -> int:
        """The version of the settings, which rises with each change; 0 while there was none."""
        return int(await read(self._redis.get(keys.flow_settings_version(FIRST))) or 0)

    async def page(self, cursor: int) -> tuple[int, list[FlowSetting]]:
        """Some settings, in no order, and the cursor of the next ones; 0: these were the last."""
        following, fields = await read(self._redis.hscan(self._key, cursor, count=SETTINGS_A_SCAN))
        return following, [_setting(name.decode(), text) for name, text in fields.items()]

    async def all(self) -> dict[str, FlowSetting]:
        """All settings by their names, also those of which nothing is set any more."""
        found: dict[str, FlowSetting] = {}
        cursor: int | None = None
        while cursor != 0:
            cursor, some = await self.page(cursor or 0)
            found |= {setting.name: setting for setting in some}
        return found

    async def find(self, names: Iterable[str]) -> dict[str, FlowSetting]:
        """The settings of these names, as far as there are any."""
        wanted = list(dict.fromkeys(names))
        texts = await read(self._redis.hmget(self._key, wanted)) if wanted else []
        return {name: _setting(name, text) for name, text in zip(wanted, texts, strict=True) if text is not None}

    async def set_paused(self, name: str, by: str, *, paused: bool) -> SettingChange:
        """Pause or resume the flows of a descriptor under a rule. Raises Conflict where there are too many settings."""
        return await self._set(name, "paused", paused, by)

    async def set_rate(self, name: str, by: str, rate: FlowRate | None) -> SettingChange:
        """Set their rate, or remove it (None). Raises Conflict where there are too many settings."""
        value = None if rate is None else {"limit": rate.limit, "window_seconds": rate.window_s, "burst": rate.burst}
        return await self._set(name, "rate", value, by)

    async def _set(self, name: str, what: str, value: object, by: str) -> SettingChange:
        version, before, after = await self._scripts.call(
            "set_flow",
            [keys.prefix(FIRST)],
            [name, what, orjson.dumps(value), by, MAX_SETTINGS, REMEMBERED_MS],
        )
        if version == 0:
            raise Conflict(f"There are {MAX_SETTINGS} settings of flows already: resume flows or remove rates first.")
        return SettingChange(*(_setting(name, text) if text else None for text in (before, after)))


def _setting(name: str, text: bytes) -> FlowSetting:
    rule_id, _, descriptor = name.partition("|")
    fields: dict[str, Any] = orjson.loads(text)
    rate = fields["rate"]
    return FlowSetting(
        rule_id,
        descriptor,
        fields["paused"],
        None if rate is None else FlowRate(int(rate["limit"]), rate["window_seconds"], int(rate["burst"])),
        int(fields["version"]),
        int(fields["changed_ms"]),
        fields["changed_by"],
    )
