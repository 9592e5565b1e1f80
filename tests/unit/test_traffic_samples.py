"""The samples of traffic that an edge keeps: which callers, how many requests, and since when."""

import pytest

from app.rules.match import Match
from app.traffic.samples import (
    FEW_CALLERS,
    KEPT_S,
    MAX_ARRIVALS,
    MAX_ARRIVALS_A_RULE,
    MAX_PATH_LENGTH,
    MAX_RULES,
    MIN_ARRIVALS_A_RULE,
    RuleSample,
    SampledCaller,
    TrafficSamples,
    decode_sample,
    encode_sample,
    position_of,
    sampled_callers,
)
from app.web.paths import path_forms
from tests.support.flow_steps import active


class Clock:
    """Unix seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def samples(clock: Clock) -> TrafficSamples:
    return TrafficSamples(clock)


def request(samples: TrafficSamples, caller: str, rule_id: str = "r", path: str = "/") -> None:
    descriptor = f"user:{caller}"
    samples.add([SampledCaller(rule_id, descriptor, position_of(descriptor), 1)], "GET", [path])


def sample_of(samples: TrafficSamples, rule_id: str = "r") -> RuleSample:
    found = samples.of(rule_id)
    assert found is not None
    return found


def size_of(sample: RuleSample) -> int:
    return sum(map(len, sample.arrivals.values()))


def test_few_requests_are_all_kept_with_what_a_rule_looks_at(samples: TrafficSamples, clock: Clock) -> None:
    request(samples, "ann", path="/a")
    clock.now_s += 1
    request(samples, "bob", path="/" + "b" * 500)
    sample = sample_of(samples)
    assert (sample.share, sample.since_s) == (1.0, 1_000_000.0)
    [of_ann], [of_bob] = sample.arrivals["user:ann"], sample.arrivals["user:bob"]
    assert (of_ann.at_s, of_ann.cost, of_ann.method, of_ann.paths) == (1_000_000.0, 1, "GET", ("/a",))
    assert len(of_bob.paths[0]) == MAX_PATH_LENGTH
    assert decode_sample(encode_sample(sample)) == sample
    assert decode_sample(encode_sample(None)) is None


def test_each_rule_that_applies_counts_its_own_caller() -> None:
    matches = [Match(active(), "user:ann"), Match(active(rule_id="net", cost=3, drain=None), "ip:192.0.2.0/24")]
    assert sampled_callers(matches) == (
        SampledCaller("r", "user:ann", position_of("user:ann"), 1),
        SampledCaller("net", "ip:192.0.2.0/24", position_of("ip:192.0.2.0/24"), 3),
    )


def test_a_rule_without_requests_has_no_sample(samples: TrafficSamples) -> None:
    assert samples.of("r") is None


def test_old_requests_are_forgotten(samples: TrafficSamples, clock: Clock) -> None:
    request(samples, "ann")
    clock.now_s += KEPT_S + 1
    request(samples, "bob")
    sample = sample_of(samples)
    assert list(sample.arrivals) == ["user:bob"]
    assert sample.since_s == clock.now_s - KEPT_S


def test_of_many_callers_a_share_is_kept_whole(samples: TrafficSamples, clock: Clock) -> None:
    callers = [f"u{number}" for number in range(2000)]
    for _ in range(3):
        for caller in callers:
            clock.now_s += 0.001
            request(samples, caller)
    sample = sample_of(samples)
    assert sample.share < 1
    assert size_of(sample) <= MAX_ARRIVALS_A_RULE
    assert sample.since_s == 1_000_000.0, "of the callers in the sample nothing was forgotten"
    in_share = {f"user:{caller}" for caller in callers if position_of(f"user:{caller}") < sample.share}
    assert set(sample.arrivals) == in_share
    assert {len(of_caller) for of_caller in sample.arrivals.values()} == {3}


def test_of_few_callers_the_latest_requests_are_kept(samples: TrafficSamples, clock: Clock) -> None:
    for number in range(MAX_ARRIVALS_A_RULE * 3):
        clock.now_s += 0.01
        request(samples, f"u{number % FEW_CALLERS}")
    sample = sample_of(samples)
    assert sample.share == 1.0
    assert MAX_ARRIVALS_A_RULE / 2 <= size_of(sample) <= MAX_ARRIVALS_A_RULE
    times = [arrival.at_s for of_caller in sample.arrivals.values() for arrival in of_caller]
    assert min(times) >= sample.since_s > 1_000_000.0
    assert size_of(sample) == round((clock.now_s - min(times)) / 0.01) + 1, "all since then"


def test_a_share_grows_again_and_says_since_when(samples: TrafficSamples, clock: Clock) -> None:
    for number in range(MAX_ARRIVALS_A_RULE * 2):
        request(samples, f"u{number}")
    share = sample_of(samples).share
    clock.now_s += KEPT_S + 1
    assert size_of(sample_of(samples)) == 0
    grown = sample_of(samples)
    assert grown.share == share * 2
    assert grown.since_s == clock.now_s, "before that, fewer callers were in the sample"


def test_memory_is_bounded_for_any_number_of_rules_and_requests(samples: TrafficSamples, clock: Clock) -> None:
    for rule in range(MAX_RULES + 50):
        for number in range(2 * MIN_ARRIVALS_A_RULE):
            clock.now_s += 0.0001
            request(samples, f"u{number}", rule_id=f"r{rule}")
    known = [samples.of(f"r{rule}") for rule in range(MAX_RULES + 50)]
    assert [sample is None for sample in known] == [True] * 50 + [False] * MAX_RULES, "those used last"
    assert sum(size_of(sample) for sample in known if sample is not None) <= 2 * MAX_ARRIVALS


def test_memory_stays_bounded_while_the_clock_stands_or_was_set_back(samples: TrafficSamples, clock: Clock) -> None:
    for _ in range(MAX_ARRIVALS_A_RULE):
        request(samples, "ann")
    clock.now_s -= 3600
    for _ in range(3 * MAX_ARRIVALS_A_RULE):
        clock.now_s += 0.001
        request(samples, "ann")
        assert size_of(sample_of(samples)) <= MAX_ARRIVALS_A_RULE
    assert sample_of(samples).since_s <= clock.now_s


def test_a_path_that_is_no_utf_8_reaches_the_admin_api_as_it_is(samples: TrafficSamples) -> None:
    [path] = path_forms(b"/caf%e9")
    request(samples, "ann", path=path)
    sample = sample_of(samples)
    assert decode_sample(encode_sample(sample)) == sample
