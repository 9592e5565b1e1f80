"""What operators set for flows: a pause, and a rate. Both hold until they are removed, or for a while."""

from collections.abc import Awaitable
from datetime import UTC, datetime

from app.admin.operators import Operator, Role
from app.admin.services.audit import Audit
from app.admin.services.flows_model import FlowRateFields, FlowSettingPage, FlowSettings
from app.errors import InvalidInput, NotFound
from app.queue.flow_name import caller_of, flow_id, flow_of_id, own_rule_id
from app.queue.flow_settings import FlowRate, FlowSetting, FlowSettingStore, SettingChange
from app.queue.operations import Operations
from app.rules.bounds import require_sensible_quota
from app.rules.cache import RuleCache


class FlowSettingService:
    """Pauses flows and sets their rates. Methods raise Forbidden and QueueUnavailable.

    A flow is named by its id. What is set holds for its caller under its rule: also for flows that the caller gets
    there later, or with other addresses.
    """

    def __init__(self, store: FlowSettingStore, rules: RuleCache, operations: Operations, audit: Audit) -> None:
        self._store = store
        self._rules = rules
        self._operations = operations
        self._audit = audit

    async def set_paused(
        self, operator: Operator, flow: str, *, paused: bool, for_seconds: int | None = None
    ) -> FlowSettings:
        """Pause or resume a flow, with `for_seconds` for a while only. Raises NotFound, Conflict and RulesUnavailable.

        A paused flow accepts jobs; what is already being sent goes on.
        """
        operator.require(Role.OPERATOR)
        name = await self._name(flow)
        change = self._store.set_paused(name, operator.name, paused=paused, for_ms=_ms(for_seconds))
        return await self._changed(operator, "flow.paused" if paused else "flow.resumed", name, change)

    async def set_rate(
        self, operator: Operator, flow: str, rate: FlowRateFields, for_seconds: int | None = None
    ) -> FlowSettings:
        """Set the rate of a flow, also while jobs wait; with `for_seconds` for a while only.

        Raises InvalidInput, NotFound, Conflict and RulesUnavailable.
        """
        operator.require(Role.OPERATOR)
        try:
            require_sensible_quota("", rate.limit, rate.window_seconds, rate.burst)
        except ValueError as error:
            raise InvalidInput(str(error)) from error
        name = await self._name(flow)
        wanted = FlowRate(rate.limit, rate.window_seconds, rate.burst)
        change = self._store.set_rate(name, operator.name, wanted, _ms(for_seconds))
        return await self._changed(operator, "flow.rate_set", name, change)

    async def unset_rate(self, operator: Operator, flow: str) -> FlowSettings:
        """Remove the rate of a flow, which then drains as its rule says.

        Raises NotFound, Conflict and RulesUnavailable.
        """
        operator.require(Role.OPERATOR)
        name = await self._name(flow)
        return await self._changed(operator, "flow.rate_unset", name, self._store.set_rate(name, operator.name, None))

    async def page(self, operator: Operator, after: int = 0) -> FlowSettingPage:
        """Some of the settings, in no order; `after` is the `next` of the page before."""
        operator.require(Role.VIEWER)
        following, found = await self._store.page(after)
        settings = sorted((setting for setting in found if not setting.removed), key=lambda setting: setting.name)
        return FlowSettingPage(settings=[_shown(setting) for setting in settings], next=following or None)

    async def _name(self, flow: str) -> str:
        """The name of the setting for a flow.

        Raises NotFound where there is neither the rule, nor a flow of it, nor such a setting.
        """
        flow_name = flow_of_id(flow)
        rule_id = own_rule_id(flow_name)
        name = f"{rule_id}|{caller_of(flow_name)}"
        if await self._rules.by_id(rule_id) is not None or await self._operations.has_flows(rule_id):
            return name
        if await self._store.find([name]):  # it outlives the rule, and can be removed
            return name
        raise NotFound(f"There is no rule {rule_id!r} in force, and no flow of it.")

    async def _changed(
        self, operator: Operator, action: str, name: str, changing: Awaitable[SettingChange]
    ) -> FlowSettings:
        change = await changing
        before, after = audited(change)
        await self._audit.record_done(operator, action=action, target=name, before=before, after=after)
        rule_id, _, descriptor = name.partition("|")
        return _shown(change.after or FlowSetting(rule_id, descriptor, False, None, 0, 0, ""))


def audited(change: SettingChange) -> tuple[dict[str, object] | None, dict[str, object] | None]:
    """Return what the audit says of a setting before and after a change; None where nothing was or is set."""
    before, after = (None if one is None else _set(one) for one in (change.before, change.after))
    return before, after


def _set(setting: FlowSetting) -> dict[str, object]:
    """What is set, and until when, where that has an end."""
    shown = _shown(setting).model_dump(mode="json")
    ends = {name: shown[name] for name in ("paused_until", "rate_until") if shown[name] is not None}
    return {"paused": shown["paused"], "rate": shown["rate"], **ends}


def _ms(seconds: int | None) -> int:
    return 0 if seconds is None else seconds * 1000


def _time(unix_ms: int | None) -> datetime | None:
    return datetime.fromtimestamp(unix_ms / 1000, UTC) if unix_ms else None


def _shown(setting: FlowSetting) -> FlowSettings:
    rate = setting.rate
    return FlowSettings(
        id=flow_id(setting.name),
        rule_id=setting.rule_id,
        descriptor=setting.descriptor,
        paused=setting.paused,
        rate=None if rate is None else FlowRateFields(limit=rate.limit, window_seconds=rate.window_s, burst=rate.burst),
        changed_at=_time(setting.changed_at_ms),
        changed_by=setting.changed_by or None,
        paused_until=_time(setting.paused_until_ms),
        rate_until=_time(setting.rate_until_ms),
    )
