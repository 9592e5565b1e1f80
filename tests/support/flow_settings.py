"""Settings of flows, for tests that build the parts of a worker."""

from app.queue.flow_settings import FlowSettingStore
from app.queue.flows import Flows
from consumers.flow_settings import FlowSettings


def no_flow_settings(flows: Flows) -> FlowSettings:
    """The settings of a worker that has not read any."""
    return FlowSettings(FlowSettingStore(flows._redis, flows._scripts), flows, flows._redis)
