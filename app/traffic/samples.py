"""Traffic samples: an edge keeps the latest requests of a sample of each rule's callers, in bounded memory.

Whole callers are sampled, because what a limit does to a request depends on the caller's requests before it. A caller
is in the sample of all edges or of none: its descriptor is hashed to a position from 0 to 1, and a rule's sample has
those below its share. A sample that is full halves its share; one of few callers forgets its oldest requests instead.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import orjson

from app.rules.match import Match

KEPT_S = 300.0
"""For how long a request is kept."""

MAX_ARRIVALS = 20_000
MAX_ARRIVALS_A_RULE = 1000
MIN_ARRIVALS_A_RULE = 100
"""How many requests of a rule are kept where rules are few, and where they are many."""

MAX_RULES = 200
FEW_CALLERS = 32
MAX_PATH_LENGTH = 256


class Arrival(NamedTuple):
    """A request: when it came (Unix seconds), what it costs by the rule, and what the rule's `match` looks at."""

    at_s: float
    cost: int
    method: str
    paths: tuple[str, ...]


_Noted = tuple[float, int, str, Sequence[str]]
"""An arrival as a plain tuple, which costs a request a third of what the named one does."""


class RuleSample(NamedTuple):
    """What one edge has of a rule: all requests since `since_s` of the callers whose position is below `share`."""

    share: float
    since_s: float
    arrivals: dict[str, list[Arrival]]


def position_of(descriptor: str) -> float:
    """Where a caller is among all callers, from 0 to 1; the same on all edges."""
    return int.from_bytes(blake2b(descriptor.encode(), digest_size=8).digest()) / 2**64


class SampledCaller(NamedTuple):
    """A caller that a rule counts, and what its requests cost by the rule."""

    rule_id: str
    descriptor: str
    position: float
    cost: int


def sampled_callers(matches: Sequence[Match]) -> tuple[SampledCaller, ...]:
    """Return the caller as each of these rules counts it."""
    return tuple([SampledCaller(m.rule.rule_id, m.descriptor, position_of(m.descriptor), m.cost) for m in matches])


class TrafficSamples:
    """The samples of the rules that were used last. `now_s` is the clock, in Unix seconds."""

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self._rules: OrderedDict[str, _RuleTraffic] = OrderedDict()
        self._max_arrivals = MAX_ARRIVALS_A_RULE
        self._complete_since_s = now_s()
        """Since when no rule was forgotten: one that is not there has had no requests since then."""

    def add(self, callers: Sequence[SampledCaller], method: str, paths: Sequence[str]) -> None:
        """Note a request of a caller, for each rule that applies to it."""
        for rule_id, descriptor, position, cost in callers:
            traffic = self._rules.get(rule_id)
            if traffic is None:
                traffic = self._begin(rule_id)
            if position < traffic.share:
                self._rules.move_to_end(rule_id)
                now = self._now_s()
                is_short = len(paths) == 1 and len(paths[0]) <= MAX_PATH_LENGTH
                noted = (now, cost, method, paths if is_short else [path[:MAX_PATH_LENGTH] for path in paths])
                traffic.add(descriptor, noted)
                if traffic.size > self._max_arrivals:
                    traffic.make_room(self._max_arrivals // 2, now)

    def of(self, rule_id: str) -> RuleSample | None:
        """Return the sample of a rule; None where no request to it was seen lately."""
        traffic = self._rules.get(rule_id)
        return None if traffic is None else traffic.sample(self._now_s(), self._max_arrivals // 4)

    def _begin(self, rule_id: str) -> "_RuleTraffic":
        if len(self._rules) >= MAX_RULES:
            self._rules.popitem(last=False)
            self._complete_since_s = self._now_s()
        traffic = self._rules[rule_id] = _RuleTraffic(self._complete_since_s)
        self._max_arrivals = max(MIN_ARRIVALS_A_RULE, min(MAX_ARRIVALS_A_RULE, MAX_ARRIVALS // len(self._rules)))
        return traffic


class _RuleTraffic:
    """The sample of one rule: the requests of its callers by descriptor, and how many they are."""

    __slots__ = ("_callers", "_share_fell_s", "_since_s", "share", "size")

    def __init__(self, since_s: float) -> None:
        self._callers: dict[str, deque[_Noted]] = {}
        self._since_s = self._share_fell_s = since_s
        self.share = 1.0
        self.size = 0

    def add(self, descriptor: str, noted: "_Noted") -> None:
        """Note a request of a caller in the sample."""
        arrivals = self._callers.get(descriptor)
        if arrivals is None:
            arrivals = self._callers[descriptor] = deque()
        arrivals.append(noted)
        self.size += 1

    def sample(self, now_s: float, few: int) -> RuleSample:
        """Return what is kept. A share that had become small grows again once few requests are kept."""
        self._forget_before(now_s - KEPT_S)
        arrivals = {descriptor: list(map(_arrival, of_caller)) for descriptor, of_caller in self._callers.items()}
        found = RuleSample(self.share, self._since_s, arrivals)
        if self.share < 1 and self.size <= few and now_s - self._share_fell_s > KEPT_S:
            self.share, self._since_s, self._share_fell_s = self.share * 2, now_s, now_s
        return found

    def make_room(self, wanted: int, now_s: float) -> None:
        """Keep this many requests at most: of fewer callers, or where they are few already, the latest ones."""
        self._forget_before(now_s - KEPT_S)
        while self.size > wanted and len(self._callers) > FEW_CALLERS:
            self.share, self._share_fell_s = self.share / 2, now_s
            for descriptor in [one for one in self._callers if position_of(one) >= self.share]:
                self.size -= len(self._callers.pop(descriptor))
        if self.size > wanted:
            times = sorted([noted[0] for of_caller in self._callers.values() for noted in of_caller])
            self._forget_before(times[self.size - wanted])
        if self.size > wanted:  # the clock was set back, so what came first is not what is oldest
            self._callers, self.size, self._since_s = {}, 0, now_s

    def _forget_before(self, at_s: float) -> None:
        self._since_s = max(self._since_s, at_s)
        for descriptor, arrivals in list(self._callers.items()):
            while arrivals and arrivals[0][0] < at_s:
                arrivals.popleft()
                self.size -= 1
            if not arrivals:
                del self._callers[descriptor]


def _arrival(noted: "_Noted") -> Arrival:
    at_s, cost, method, paths = noted
    return Arrival(at_s, cost, method, tuple(paths))


def encode_sample(sample: RuleSample | None) -> bytes:
    """Return a sample, or that there is none, as JSON."""
    if sample is None:
        return b"null"
    arrivals = {descriptor: list(map(list, of_caller)) for descriptor, of_caller in sample.arrivals.items()}
    return orjson.dumps({"share": sample.share, "since_s": sample.since_s, "arrivals": arrivals})


def decode_sample(data: bytes) -> RuleSample | None:
    """Read what `encode_sample` wrote."""
    fields = orjson.loads(data)
    if fields is None:
        return None
    arrivals = {
        descriptor: [Arrival(at_s, cost, method, tuple(paths)) for at_s, cost, method, paths in of_caller]
        for descriptor, of_caller in fields["arrivals"].items()
    }
    return RuleSample(fields["share"], fields["since_s"], arrivals)
