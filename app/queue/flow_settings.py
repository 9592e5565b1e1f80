"""What operators have set for flows: a pause, and a rate.

Settings belong to a descriptor under a rule: to the flows of a caller there, or to all flows that share a counter. They
are kept in the queue Redis, beside the flows that they are about: they are as durable as the jobs, nobody drains a flow
without being able to read them, and they hold while MongoDB or the cache is away.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
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
PENSTOCK = "penstock"
"""Who ends what was set for a while only."""

ENDED_AT_ONCE = 100
PAUSE_PER_CALL = 4
"""Where many end at once, the pause after a call, in times of its duration."""

MAX_NOTES = 10_000
"""How many ends are kept for the audit while no admin process runs."""


@dataclass(frozen=True, slots=True)
class FlowRate:
    """A rate of flows: jobs (of cost 1) per window, and how many at once."""

    limit: int
    window_s: float
    burst: int = 1


@dataclass(frozen=True, slots=True)
class FlowSetting:
    """What is set for the flows of a descriptor under a rule. `version` orders the changes of all settings.

    Where nothing is set any more (`removed`), it says only that a rate was removed. A pause or a rate that is there for
    a while only ends at a time by the clock of the queue Redis; None: it has no end.
    """

    rule_id: str
    descriptor: str
    paused: bool
    rate: FlowRate | None
    version: int
    changed_at_ms: int
    changed_by: str
    paused_until_ms: int | None = None
    rate_until_ms: int | None = None

    @property
    def name(self) -> str:
        """What it is called among the settings: `<rule id>|<descriptor>`."""
        return f"{self.rule_id}|{self.descriptor}"

    @property
    def removed(self) -> bool:
        """Whether nothing is set any more."""
        return not self.paused and self.rate is None and not self.temporary

    @property
    def temporary(self) -> bool:
        """Whether any of it is there for a while only."""
        return self.paused_until_ms is not None or self.rate_until_ms is not None


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A change, with the setting before and after it; None where nothing was or is set."""

    before: FlowSetting | None
    after: FlowSetting | None


@dataclass(frozen=True, slots=True)
class SettingEnd:
    """That something was over that was set for a while only. `version` is that of the change."""

    name: str
    version: int
    at_ms: int
    change: SettingChange


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

    async def set_paused(self, name: str, by: str, *, paused: bool, for_ms: int = 0) -> SettingChange:
        """Pause or resume the flows of a descriptor under a rule. Raises Conflict where there are too many settings.

        With `for_ms` they are again as they were after that time, whoever still runs then.
        """
        return await self._set(name, "paused", paused, by, for_ms)

    async def set_rate(self, name: str, by: str, rate: FlowRate | None, for_ms: int = 0) -> SettingChange:
        """Set their rate, or remove it (None); with `for_ms` for so long. Raises Conflict, as `set_paused` does."""
        value = None if rate is None else {"limit": rate.limit, "window_seconds": rate.window_s, "burst": rate.burst}
        return await self._set(name, "rate", value, by, for_ms)

    async def end_due(self) -> None:
        """End what was set for a while only and is over by the clock of the queue Redis."""
        arguments: list[str | int] = [ENDED_AT_ONCE, PENSTOCK, MAX_NOTES]
        while True:
            began_s = monotonic()
            if await self._scripts.call("end_flow_settings", [keys.prefix(FIRST)], arguments) < ENDED_AT_ONCE:
                return
            await asyncio.sleep(PAUSE_PER_CALL * (monotonic() - began_s))

    async def ended(self) -> list[SettingEnd]:
        """Some of the ends that nobody has made a note of, the oldest first."""
        key = keys.flow_settings_ended(FIRST)
        _, found = await read(self._redis.hscan(key, 0, count=SETTINGS_A_SCAN))
        return sorted(map(_end, found.values()), key=lambda end: end.version)

    async def forget_ended(self, ends: Iterable[SettingEnd]) -> None:
        """Forget ends of which a note was made."""
        await read(self._redis.hdel(keys.flow_settings_ended(FIRST), *(str(end.version) for end in ends)))

    async def _set(self, name: str, what: str, value: object, by: str, for_ms: int) -> SettingChange:
        version, before, after = await self._scripts.call(
            "set_flow",
            [keys.prefix(FIRST)],
            [name, what, orjson.dumps(value), by, MAX_SETTINGS, REMEMBERED_MS, for_ms],
        )
        if version == 0:
            raise Conflict(f"There are {MAX_SETTINGS} settings of flows already: resume flows or remove rates first.")
        return _change(name, before, after)


def _setting(name: str, text: bytes) -> FlowSetting:
    rule_id, _, descriptor = name.partition("|")
    fields: dict[str, Any] = orjson.loads(text)
    rate, temporary = fields["rate"], fields.get("temporary") or {}
    return FlowSetting(
        rule_id,
        descriptor,
        fields["paused"],
        None if rate is None else FlowRate(int(rate["limit"]), rate["window_seconds"], int(rate["burst"])),
        int(fields["version"]),
        int(fields["changed_ms"]),
        fields["changed_by"],
        *(int(temporary[what]["until_ms"]) if what in temporary else None for what in ("paused", "rate")),
    )


def _change(name: str, before: bytes, after: bytes) -> SettingChange:
    return SettingChange(*(_setting(name, text) if text else None for text in (before, after)))


def _end(text: bytes) -> SettingEnd:
    note: dict[str, Any] = orjson.loads(text)
    change = _change(note["name"], note["before"], note["after"])
    return SettingEnd(note["name"], int(note["version"]), int(note["at_ms"]), change)
