"""Names of flows: what the jobs of a flow are charged for, and whose they are.

A flow's name is `<rule id>|<descriptor>` for the rule that deferred its jobs, then the same of every other rule that
they are charged for, separated by `;`. If no descriptor names the caller, `>` and the caller follow: callers who are
counted together still have flows of their own. No part holds a separator (app/limiter/keys.py).
"""

import base64
import re
from collections.abc import Sequence
from typing import NamedTuple

from app.errors import NotFound

MAX_NAME_BYTES = 8192
"""No flow has a longer name: as many rules as there are key types apply to a request, and descriptors are bounded."""

_RULE = r"[a-z0-9_-]{1,64}\|[!-:=?-z~]+"
_NAME = re.compile(rf"{_RULE}(;{_RULE})*(>[!-:=?-z~]+)?")

ALL_COST_ONE = "-"
"""How costs of one unit for every rule are written."""


class ChargedRule(NamedTuple):
    """A rule that a flow's jobs are charged for, and who is counted."""

    rule_id: str
    descriptor: str

    @property
    def counter(self) -> str:
        """The counter as the queue's scripts name it."""
        return f"{self.rule_id}|{self.descriptor}"


def flow_name(charged: Sequence[tuple[str, str]], caller: str) -> str:
    """Name the flow of a caller's jobs; `charged` are pairs of rule id and descriptor, the flow's own rule first."""
    name = ";".join(f"{rule_id}|{descriptor}" for rule_id, descriptor in charged)
    return name if not caller or any(caller == descriptor for _, descriptor in charged) else f"{name}>{caller}"


def charged_rules(flow: str) -> tuple[ChargedRule, ...]:
    """The rules that a flow's jobs are charged for, the flow's own first."""
    return tuple(ChargedRule(*part.split("|")) for part in flow.partition(">")[0].split(";"))


def own_rule(flow: str) -> ChargedRule:
    """The rule that deferred a flow's jobs."""
    own = flow.partition(">")[0].partition(";")[0]
    return ChargedRule(*own.split("|"))


def own_rule_id(flow: str) -> str:
    """The id of the rule that deferred a flow's jobs."""
    return flow.partition("|")[0]


def names_descriptor(flow: str, descriptor: str) -> bool:
    """Whether any rule that a flow's jobs are charged for counts this descriptor, or it is the caller's."""
    return flow.partition(">")[2] == descriptor or any(rule.descriptor == descriptor for rule in charged_rules(flow))


def shared_with(flow: str) -> str:
    """The caller of a flow whose own counter is shared with other callers; empty if it is the caller's own."""
    caller = flow.partition(">")[2]
    if caller:
        return caller
    charged = charged_rules(flow)
    descriptors = [rule.descriptor for rule in charged]
    # One of them is the caller: the user, or the address of a caller without a token.
    callers = [one for family in ("user:", "ip:") for one in descriptors if one.startswith(family) and "&" not in one]
    return callers[0] if callers and callers[0] != descriptors[0] else ""


def caller_of(flow: str) -> str:
    """The descriptor of the caller whose flow it is."""
    return shared_with(flow) or own_rule(flow).descriptor


def flow_id(flow: str) -> str:
    """A flow's name as it stands in addresses: in base64url, without padding."""
    return base64.urlsafe_b64encode(flow.encode()).decode().rstrip("=")


def flow_of_id(text: str) -> str:
    """The name of the flow that has this id. Raises NotFound for what is no id of a flow."""
    try:
        name = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
    except ValueError:
        name = ""
    if len(text) > MAX_NAME_BYTES or _NAME.fullmatch(name) is None or flow_id(name) != text:
        raise NotFound("There is no such flow.")
    return name


def encode_costs(costs: Sequence[int]) -> str:
    """Write what a job costs each of its flow's rules."""
    return ALL_COST_ONE if all(cost == 1 for cost in costs) else ",".join(map(str, costs))


def decode_costs(text: str, rules: int) -> tuple[int, ...]:
    """Read what `encode_costs` wrote for so many rules."""
    return (1,) * rules if text == ALL_COST_ONE else tuple(map(int, text.split(",")))
