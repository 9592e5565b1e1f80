"""What is in force of a rule: by its schedule, and by temporary values, which end by themselves."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.errors import InvalidRule
from app.rules.active import decode_active, encode_active
from app.rules.in_force import after_change, describe, for_a_while, in_force, next_scheduled_change, reverted
from app.rules.model import Rule, parse_rule, to_json
from tests.support.rules import RULE

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=10)
SLOW, FAST = ({"limit": limit, "window_seconds": 1} for limit in (1, 50))
NIGHT: dict[str, Any] = {"from": "22:00", "to": "06:00", "drain": FAST}
DAY: dict[str, Any] = {"from": "08:00", "to": "18:00", "limit": {"limit": 2, "window_seconds": 1}}


def rule(**fields: Any) -> Rule:  # noqa: ANN401 - the value of any field
    return parse_rule(RULE | fields)


def hour(number: int) -> datetime:
    return NOON.replace(hour=number)


def test_a_schedule_gives_a_rule_another_drain_rate_and_another_limit() -> None:
    one = rule(drain=SLOW, burst=7, schedule=[NIGHT, DAY])
    assert one.drain is not None
    found = [in_force(one, hour(number)) for number in (2, 7, 12, 23)]
    assert [one.drain.limit for one in found if one.drain] == [50, 1, 1, 50]
    assert [(one.limit, one.window_seconds, one.burst) for one in found] == [
        (5, 60, 7),
        (5, 60, 7),
        (2, 1, None),
        (5, 60, 7),
    ]
    assert [next_scheduled_change(one, hour(number)) for number in (2, 7, 12)] == [hour(6), hour(8), hour(18)]
    noon, night = describe(one, NOON), describe(one, hour(2))
    assert (noon.source, noon.window, noon.until) == ("schedule", 1, hour(18))
    assert (night.source, night.window, night.until) == ("schedule", 0, hour(6))
    between = describe(one, hour(7))
    assert (between.source, between.window, between.until, between.rule) == ("rule", None, hour(8), one)


def test_a_rule_without_a_schedule_is_in_force_as_it_is() -> None:
    one = rule(drain=SLOW)
    assert in_force(one, NOON) is one
    assert describe(one, NOON).until is None


def test_edges_read_what_is_in_force_and_how_long() -> None:
    one = for_a_while(rule(schedule=[DAY]), rule(schedule=[DAY], drain=FAST), (), LATER)
    published = in_force(one, NOON)
    read = decode_active(encode_active(published, 7)).whole_rule()
    assert (read.limit, read.drain, read.temporary) == (2, published.drain, published.temporary)
    assert describe(read, NOON) == describe(one, NOON).__class__(read, LATER, "temporary", 0)


def test_a_temporary_value_is_over_in_time_and_the_previous_one_returns() -> None:
    one = for_a_while(rule(drain=SLOW), rule(drain=FAST), {"drain"}, LATER)
    assert to_json(one)["temporary"] == [
        {"until": "2026-07-01T12:10:00Z", "previous": {"drain": SLOW | {"burst": 1, "concurrency": None}}}
    ]
    assert reverted(one, LATER - timedelta(milliseconds=1)) == one
    assert reverted(one, LATER) == rule(drain=SLOW)
    assert parse_rule(one.model_dump()) == one


def test_several_temporary_values_are_over_each_in_its_time() -> None:
    one = for_a_while(rule(), rule(drain=FAST), (), LATER)
    two = for_a_while(one, rule(drain=FAST, paused=True, limit=9), (), LATER + timedelta(hours=1))
    assert reverted(two, LATER).model_copy(update={"temporary": None}) == rule(paused=True, limit=9)
    assert reverted(two, LATER + timedelta(hours=1)) == rule()


def test_a_temporary_value_in_the_place_of_another_returns_to_the_permanent_one() -> None:
    one = for_a_while(rule(drain=SLOW), rule(drain=FAST), {"drain"}, LATER)
    two = for_a_while(one, rule(drain={"limit": 80, "window_seconds": 1}), {"drain"}, LATER + timedelta(hours=1))
    assert reverted(two, LATER).drain == two.drain
    assert reverted(two, LATER + timedelta(hours=1)) == rule(drain=SLOW)
    longer = for_a_while(one, rule(drain=FAST), {"drain"}, LATER + timedelta(hours=2))
    assert [change.until for change in longer.temporary or ()] == [LATER + timedelta(hours=2)]
    assert for_a_while(one, rule(drain=SLOW), {"drain"}, LATER).temporary is None, "it is what it is anyway"


def test_a_change_of_the_same_field_ends_a_temporary_value_and_a_change_of_others_keeps_it() -> None:
    one = for_a_while(rule(), rule(drain=FAST), (), LATER)
    kept = after_change(one, rule(drain=FAST, limit=9, burst=3))
    assert kept.temporary == one.temporary
    assert reverted(kept, LATER) == rule(limit=9, burst=3)
    for changed, named in [(rule(drain=SLOW), ()), (rule(), ()), (rule(drain=FAST), {"drain"})]:
        assert after_change(one, changed, named).temporary is None
    limited = for_a_while(rule(), rule(limit=9), (), LATER)
    assert after_change(limited, rule(limit=9, burst=3)).temporary is None, "limit and burst are one quota"


def test_a_temporary_value_goes_before_the_schedule() -> None:
    scheduled = rule(schedule=[NIGHT, DAY])
    one = for_a_while(scheduled, rule(schedule=[NIGHT, DAY], drain=SLOW), {"drain"}, hour(23) + timedelta(minutes=30))
    night = in_force(one, hour(23))
    assert night.drain is not None
    assert night.drain.limit == 1
    assert in_force(one, NOON).limit == 2, "the schedule of the limit goes on"
    over = in_force(reverted(one, hour(23) + timedelta(minutes=30)), hour(23))
    assert over.drain is not None
    assert over.drain.limit == 50


@pytest.mark.parametrize("changed", [{"priority": 3}, {"enabled": False}, {"on_limit": "defer"}, {"key_value": "v"}])
def test_other_fields_do_not_change_for_a_while(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidRule, match=f"^{next(iter(changed))}: cannot change for a while; burst, concurrency, "):
        for_a_while(rule(), rule(**changed), (), LATER)


def test_what_could_not_return_is_refused_at_once() -> None:
    one = for_a_while(rule(burst=5), rule(burst=9), (), LATER)
    with pytest.raises(InvalidRule, match=r"^cost: must be at most burst \(5\), once the temporary value is over$"):
        after_change(one, rule(burst=9, cost=7))


@pytest.mark.parametrize(
    ("window", "problem"),
    [
        ({"from": "22:00", "to": "6:00", "drain": FAST}, "schedule.0.to: "),
        ({"from": "24:00", "to": "06:00", "drain": FAST}, "schedule.0.from: "),
        ({"from": "22:00", "drain": FAST}, "schedule.0.to: Field required"),
        ({"from_": "22:00", "to": "06:00", "drain": FAST}, "schedule.0.from_: is not a known field"),
        ({"from": "22:00", "to": "06:00"}, "schedule.0: drain or limit: one of them is required"),
        (NIGHT | {"days": ["monday"]}, "schedule.0.days.0: "),
        (NIGHT | {"days": []}, "schedule.0.days: "),
        (NIGHT | {"days": ["mon", "mon"]}, "schedule.0.days: a day must not occur twice"),
        (NIGHT | {"timezone": "Mars/Olympus"}, "schedule.0.timezone: must be a time zone of the IANA database"),
        (NIGHT | {"timezone": "Europe"}, "schedule.0.timezone: must be a time zone of the IANA database"),
        (NIGHT | {"timezone": "../zone"}, "schedule.0.timezone: "),
        (NIGHT | {"limit": {"limit": 9, "window_seconds": 1, "burst": 1}}, "schedule.0: cost: must be at most burst"),
        (NIGHT | {"drain": {"limit": 9, "window_seconds": 1}}, "schedule.0: drain.burst: must be at least cost"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(window: dict[str, Any], problem: str) -> None:
    drain = SLOW | {"burst": 2}
    with pytest.raises(InvalidRule) as error:
        rule(cost=2, drain=drain, schedule=[window])
    assert str(error.value).startswith(problem)


def test_rules_that_count_nothing_have_no_schedule() -> None:
    with pytest.raises(InvalidRule, match=r"^schedule: a rule with action 'block' has none$"):
        parse_rule({"rule_id": "r", "key_type": "user", "key_value": "u", "action": "block", "schedule": [NIGHT]})
