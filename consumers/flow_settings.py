"""What operators have set for flows, as a worker knows it: in memory, and current within a second."""

import asyncio
from contextlib import suppress
from time import monotonic

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.errors import QueueUnavailable
from app.process.lifecycle import cancel
from app.process.lru_cache import TwoGenerationLRUCache
from app.queue import keys
from app.queue.flow_settings import FIRST, FlowSetting, FlowSettingStore, setting_names
from app.queue.flows import Flows

log = structlog.get_logger()

_Remembered = TwoGenerationLRUCache[str, tuple[FlowSetting, ...]]

LOOK_AGAIN_S = 0.5
"""A message may be lost with its connection, so the version is looked at this often."""

RETRY_S = 0.25
PAUSE_PER_READ = 4
"""After a reading of all settings, for how many times as long none begins: a worker has slots to keep."""

CACHE_SIZE = 20_000
"""For how many flows it is remembered which settings they obey."""


class FlowSettings:
    """The settings of all flows. Whenever some change, the flows that obey them are looked at again."""

    def __init__(self, store: FlowSettingStore, flows: Flows, queue: Redis) -> None:
        self._store = store
        self._flows = flows
        self._queue = queue
        self._settings: dict[str, FlowSetting] = {}
        self._of_flows = _Remembered(CACHE_SIZE)
        self._temporary = False
        """Whether anything is set for a while only. Otherwise an idle worker need not ask what is over."""
        self._version = 0
        self._unseen: set[str] = set()
        """What has changed and the flows were not looked at for, because the queue Redis went away."""
        self._heard = asyncio.Event()

    @property
    def version(self) -> int:
        """The version of the settings that are known."""
        return self._version

    def of(self, flow: str) -> tuple[FlowSetting, ...]:
        """What is set for a flow: for its own counter, and for its caller where that is shared."""
        if not self._settings:
            return ()
        found = self._of_flows.get(flow)
        if found is None:
            named = [self._settings.get(name) for name in setting_names(flow)]
            found = tuple([setting for setting in named if setting is not None])
            self._of_flows.put(flow, found)
        return found

    def paused(self, flow: str) -> bool:
        """Whether the flow is paused by itself."""
        return any(setting.paused for setting in self.of(flow))

    async def load(self) -> None:
        """Read all settings. Raises QueueUnavailable."""
        version = await self._store.version()  # before they are read, so that a change in the meantime is seen later
        await self._read()
        self._version = version

    async def run(self) -> None:
        """Follow the changes, and end what was set for a while only; runs until cancelled."""
        listening = asyncio.create_task(self._listen())
        try:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._heard.wait(), LOOK_AGAIN_S)
                self._heard.clear()
                begun_s = monotonic()
                try:
                    await self.refresh()
                    if self._temporary:
                        await self._store.end_due()
                        await self.refresh()
                except (QueueUnavailable, RedisError) as error:
                    log.warning("flow_settings_not_read", error=str(error))
                    await asyncio.sleep(RETRY_S)
                await asyncio.sleep(min(LOOK_AGAIN_S, PAUSE_PER_READ * (monotonic() - begun_s)))
        finally:
            await cancel({listening})

    async def refresh(self) -> None:
        """Read what has changed, and let the flows be looked at that obey it. Raises QueueUnavailable."""
        version = await self._store.version()
        if version == self._version:
            return
        known = self._settings
        await self._read()
        self._unseen |= {name for name in {*known, *self._settings} if known.get(name) != self._settings.get(name)}
        await self._flows.reconsider(self._unseen, version)
        self._version, self._unseen = version, set()

    async def _read(self) -> None:
        self._settings = await self._store.all()
        self._temporary = any(setting.temporary for setting in self._settings.values())
        self._of_flows = _Remembered(CACHE_SIZE)

    async def _listen(self) -> None:
        while True:
            with suppress(RedisError, OSError):
                async with self._queue.pubsub() as channel:
                    await channel.subscribe(keys.flow_settings(FIRST))
                    while True:
                        message = await channel.get_message(ignore_subscribe_messages=True, timeout=LOOK_AGAIN_S)
                        if message is not None:
                            self._heard.set()
            await asyncio.sleep(RETRY_S)
