"""What operators do with flows: look at them, and cancel what waits in one."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from app.admin.operators import Operator, Role
from app.admin.services.audit import Audit
from app.admin.services.flow_drain import drain_of
from app.admin.services.flow_index import FlowIndex, FlowSnapshot, IndexedFlow
from app.admin.services.flow_rates import FlowRates
from app.admin.services.flows_model import Flow, FlowOrder, FlowPage, FlowPurge, FlowQuery, FlowRateFields, FlowState
from app.admin.services.paused import PausedFlows
from app.admin.services.status_model import DrainStatus
from app.errors import NotFound
from app.queue.flow_name import caller_of, flow_id, flow_of_id, own_rule
from app.queue.flow_settings import FlowSetting, FlowSettingStore, setting_names
from app.queue.flow_views import FlowDetails, FlowViews
from app.queue.operations import Operations


class FlowService:
    """Flows, for both faces of the admin API. Methods raise Forbidden and QueueUnavailable."""

    def __init__(
        self,
        views: FlowViews,
        rates: FlowRates,
        settings: FlowSettingStore,
        paused: PausedFlows,
        operations: Operations,
        audit: Audit,
    ) -> None:
        self.index = self._index = FlowIndex(views)
        self._views = views
        self._rates = rates
        self._settings = settings
        self._paused = paused
        self._operations = operations
        self._audit = audit

    async def run(self) -> None:
        """Keep the overview of all flows current; runs until cancelled."""
        await self._index.run()

    async def page(self, operator: Operator, query: FlowQuery) -> FlowPage:
        """A page of the flows. Its cost does not depend on how many flows there are, but for the first page's order."""
        operator.require(Role.VIEWER)
        snapshot, first = await self._place(query)
        some = snapshot.flows[first : first + query.limit]
        flows = await self._flows([flow.counts.flow for flow in some])
        end = first + len(some)
        following = None
        if end < len(snapshot.flows):
            following = f"{snapshot.id}_{end}_{_number(query.sort, snapshot.flows[end])}"
        return FlowPage(
            flows=sorted(flows, key=_IN_ORDER[query.sort]),
            total=len(snapshot.flows),
            as_of=datetime.fromtimestamp(snapshot.as_of_s, UTC),
            complete=snapshot.complete,
            next=following,
        )

    async def get(self, operator: Operator, flow: str) -> Flow:
        """One flow by its id, as of now. Raises NotFound where it has no jobs."""
        operator.require(Role.VIEWER)
        name = flow_of_id(flow)
        found = await self._flows([name])
        if not found:
            raise NotFound("There is no such flow: it has no jobs.")
        return found[0]

    async def drain(self) -> DrainStatus:
        """How fast the deepest flows, as of the last look at all flows, may drain now and do."""
        return drain_of(await self._flows(self._index.deepest()))

    async def purge(self, operator: Operator, flow: str, after: str | None = None) -> FlowPurge:
        """Cancel what waits in one flow, at most 20,000 jobs a call. Raises NotFound, and InvalidInput for `after`.

        Jobs that are already being sent are not affected.
        """
        operator.require(Role.OPERATOR)
        name = flow_of_id(flow)
        page = await self._operations.purge_flow(name, after)
        if page.canceled:
            await self._audit.record_done(
                operator, action="flow.purged", target=name, after={"canceled": page.canceled}
            )
        return FlowPurge(canceled=page.canceled, next=page.next)

    async def _place(self, query: FlowQuery) -> tuple[FlowSnapshot, int]:
        """The snapshot, and where in it the page begins."""
        if query.after is not None:
            snapshot_id, end, position = query.after.split("_")
            kept = self._index.kept_snapshot(snapshot_id)
            if kept is not None:
                return kept, int(end)
        await self._index.look()
        paused = await self._paused.names() if query.state == "paused" else frozenset[str]()
        snapshot = self._index.snapshot(query.sort, query.rule_id, query.descriptor, query.state, paused)
        if query.after is None:
            return snapshot, 0
        # Another process has shown the page before, or it was long ago: go on at the same depth or age.
        if query.sort is FlowOrder.RULE:
            return snapshot, min(int(end), len(snapshot.flows))
        return snapshot, bisect_left(snapshot.flows, int(position), key=lambda flow: _number(query.sort, flow))

    async def _flows(self, names: Sequence[str]) -> list[Flow]:
        details = await self._views.details(names)
        settings = await self._settings.find(name for flow in details for name in setting_names(flow))
        return [await self._flow(each, settings) for each in details.values()]

    async def _flow(self, details: FlowDetails, settings: Mapping[str, FlowSetting]) -> Flow:
        counts = details.counts
        own = own_rule(counts.flow)
        permitted = await self._rates.permitted(counts.flow, settings)
        indexed = self._index.find(counts.flow)
        actual = None if indexed is None else indexed.rate(counts, details.at_s)
        state, why, paused_by = await self._rates.condition(details, settings)
        return Flow(
            id=flow_id(counts.flow),
            name=counts.flow,
            rule_id=own.rule_id,
            descriptor=own.descriptor,
            caller=caller_of(counts.flow),
            depth=counts.depth,
            waiting=counts.waiting,
            in_flight=counts.in_flight,
            backing_off=counts.backing_off,
            bytes=counts.bytes,
            oldest_age_seconds=max(0.0, details.at_s - counts.oldest_ms / 1000) if counts.oldest_ms else None,
            state=state,
            state_detail=why,
            paused_by=paused_by,
            held_until=datetime.fromtimestamp(details.counts.hold_until_s, UTC) if state is FlowState.HELD else None,
            waits_for=details.waits_for or None,
            permitted_per_second=None if permitted is None else permitted.per_s,
            permitted_by=None if permitted is None else permitted.rule_id,
            own_rate=_own_rate(counts.flow, settings),
            actual_per_second=None if actual is None else actual[0],
            actual_over_seconds=None if actual is None else actual[1],
            eta_seconds=None if state is FlowState.PAUSED else _eta_s(details),
        )


def _own_rate(flow: str, settings: Mapping[str, FlowSetting]) -> FlowRateFields | None:
    """The rate that was set for a flow: its caller's, else that of its counter."""
    for name in reversed(setting_names(flow)):
        if (setting := settings.get(name)) is not None and (rate := setting.rate) is not None:
            return FlowRateFields(limit=rate.limit, window_seconds=rate.window_s, burst=rate.burst)
    return None


def _eta_s(details: FlowDetails) -> float | None:
    """Until the last job that waits now may be sent; None where that is not known."""
    if details.first_wait_s is None or details.interval_s is None or not details.counts.waiting:
        return None
    return details.first_wait_s + (details.counts.waiting - 1) * details.interval_s


def _number(order: FlowOrder, flow: IndexedFlow) -> int:
    """Where a flow stands in an order, for a cursor that outlives its snapshot."""
    if order is FlowOrder.DEPTH:
        return -flow.counts.depth
    return int(min(flow.oldest_ms, _LAST)) if order is FlowOrder.AGE else 0


_LAST = 1e15
_IN_ORDER: dict[FlowOrder, Callable[[Flow], tuple[object, ...]]] = {
    FlowOrder.DEPTH: lambda flow: (-flow.depth,),
    FlowOrder.AGE: lambda flow: (flow.oldest_age_seconds is None, -(flow.oldest_age_seconds or 0.0)),
    FlowOrder.RULE: lambda flow: (flow.rule_id, flow.name),
}
"""The order within a page, by the numbers that it shows."""
