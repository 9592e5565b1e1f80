"""Which rules with schedules sync publishes anew, and that others have their turns meanwhile."""

import asyncio
from datetime import UTC, datetime, timedelta

from app.rules.model import parse_rule
from sync.plan import RuleChange
from sync.schedules import AT_ONCE, Schedules, published_forms

RULE = {"rule_id": "r", "key_type": "user", "key_value": "u", "limit": 5, "window_seconds": 60}
NIGHT = {"from": "22:00", "to": "06:00", "limit": {"limit": 7, "window_seconds": 60}}
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def change(at: datetime, rule_id: str = "r", *, exists: bool = True) -> RuleChange:
    rule = parse_rule(RULE | {"rule_id": rule_id, "schedule": [NIGHT]}) if exists else None
    return RuleChange(rule_id, int(at.timestamp()) << 20, rule)


async def test_a_rule_is_due_from_when_a_window_begins_until_it_is_noted_again() -> None:
    schedules, evening = Schedules(), NOON + timedelta(hours=10)
    await schedules.note([change(NOON), change(NOON, "other")])
    assert schedules.due(evening - timedelta(seconds=1)) == []
    assert schedules.due(evening) == ["r", "other"]
    assert schedules.due(evening) == ["r", "other"], "it may not have been published"
    await schedules.note([change(evening), change(evening, "other", exists=False)])
    assert schedules.due(evening) == []
    assert schedules.due(evening + timedelta(hours=8)) == ["r"]


async def test_what_was_noted_later_stays() -> None:
    schedules, evening = Schedules(), NOON + timedelta(hours=10)
    await schedules.note([change(evening)])
    await schedules.note([change(NOON)])
    assert schedules.due(evening) == []


async def test_others_have_their_turns_while_many_rules_are_looked_at() -> None:
    changes = [change(NOON, f"r{number}") for number in range(10 * AT_ONCE)]
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    forms = await published_forms(changes)
    seen, turns = turns, 0
    await Schedules().note(forms)
    other.cancel()
    assert len(forms) == len(changes)
    assert min(seen, turns) >= 9
