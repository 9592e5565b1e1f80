"""The drain rate of flows together: a counter that several share permits its rate once."""

from typing import Any

from app.admin.services.flow_drain import drain_of
from app.admin.services.flows_model import Flow, FlowRateFields, FlowState


def flow(name: str, **fields: Any) -> Flow:  # noqa: ANN401
    known: dict[str, Any] = {
        "id": name, "name": name, "rule_id": "r", "descriptor": "ip:x", "caller": "user:a", "depth": 1, "waiting": 1,
        "in_flight": 0, "backing_off": 0, "bytes": 1, "oldest_age_seconds": 1.0, "state": FlowState.DRAINING,
        "state_detail": "", "paused_by": None, "held_until": None, "waits_for": None, "permitted_per_second": 5.0,
        "permitted_by": "r", "own_rate": None, "actual_per_second": 2.0, "actual_over_seconds": 10.0,
        "eta_seconds": None,
    }  # fmt: skip
    return Flow(**known | fields)


def totals(*flows: Flow) -> tuple[float, float]:
    drain = drain_of(flows)
    return drain.permitted_per_second, drain.actual_per_second


def test_flows_that_share_a_counter_share_its_rate() -> None:
    assert totals(flow("r|ip:x>user:a"), flow("r|ip:x>user:b"), flow("r|ip:y>user:c")) == (10.0, 6.0)


def test_the_counter_is_that_of_the_rule_that_permits_the_rate() -> None:
    names = ("r|ip:x;other|user:a>user:a", "r|ip:x;other|user:b>user:b")
    assert totals(*(flow(name, permitted_by="other") for name in names)) == (10.0, 4.0)


def test_a_flow_with_a_rate_of_its_own_has_it_for_itself_and_a_paused_one_has_none() -> None:
    own = FlowRateFields(limit=1, window_seconds=1, burst=1)
    flows = (
        flow("r|ip:x>user:a"),
        flow("r|ip:x>user:b", own_rate=own, permitted_per_second=1.0),
        flow("r|ip:z", state=FlowState.PAUSED, actual_per_second=None),
    )
    assert totals(*flows) == (6.0, 4.0)


def test_what_is_not_known_counts_as_nothing() -> None:
    assert totals(flow("r|ip:x", permitted_per_second=None, permitted_by=None, actual_per_second=None)) == (0.0, 0.0)
    assert totals() == (0.0, 0.0)
