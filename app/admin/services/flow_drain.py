"""How fast some flows may drain together, and how fast they do."""

from collections.abc import Iterable

from app.admin.services.flows_model import Flow, FlowState
from app.admin.services.status_model import DrainStatus
from app.queue.flow_name import charged_rules


def drain_of(flows: Iterable[Flow]) -> DrainStatus:
    """Add up the rates of some flows. Flows that share a counter share its rate, which counts once."""
    permitted: dict[object, float] = {}
    actual = 0.0
    for flow in flows:
        actual += flow.actual_per_second or 0.0
        if flow.permitted_per_second is not None and flow.state is not FlowState.PAUSED:
            permitted[_counter(flow)] = flow.permitted_per_second
    return DrainStatus(permitted_per_second=round(sum(permitted.values()), 3), actual_per_second=round(actual, 3))


def _counter(flow: Flow) -> object:
    """What permits a flow its rate: the counter of the rule `permitted_by`, or a rate that was set for this flow."""
    charged = next((one for one in charged_rules(flow.name) if one.rule_id == flow.permitted_by), None)
    return flow.name if flow.own_rate is not None or charged is None else charged
