"""Calls of the limiter's scripts, and their replies as named types: the one place that knows their layouts."""

from collections.abc import Sequence
from typing import NamedTuple

from app.limiter.algorithms import ALGORITHMS
from app.limiter.policy import Charge, Correction, QuotaState, Slots, TurnRequest, Verdict
from app.redis_wire.resp import bulk, bulks
from app.redis_wire.scripts import Argument, Script

SHADOW_FLAG, MARKER_FLAG = 1, 2
LEFT_TO_ACQUIRE = -1
"""The whole reply of decide.lua where another algorithm keeps one of the counters, or a rule has another window."""

_DECIDE_HEADER_FIELDS = 1
_ACQUIRE_HEADER_FIELDS = 9
_ACQUIRE_QUOTA_FIELDS = 7

_STATE_FIELDS = 5
_STAND_IN = "place"
_DECIDE_STATES_AT = 1
_ACQUIRE_SLOTS_AT = 3


class AcquireOptions(NamedTuple):
    """The arguments of acquire.lua before the quotas, in its order; an empty `marker` sets none."""

    n: int = 1
    horizon_us: int = 0
    lead_us: int = 0
    peek: int = 0
    marker: str = ""
    marker_ttl_ms: int = 0
    place: str = ""
    waits: int = 0


class AcquireReply(NamedTuple):
    """The reply of acquire.lua: slots as waits from `now_us` on, and the quotas' states in the order of the charges."""

    next_wait_us: int
    now_us: int
    waits_us: tuple[int, ...]
    states: tuple[QuotaState, ...]


def fits_decide_script(charges: Sequence[Charge]) -> bool:
    """Whether decide.lua knows the algorithms of all these quotas."""
    return all(ALGORITHMS[charge.policy.algorithm].in_decide_script for charge in charges)


def decide_call(script: Script, charges: Sequence[Charge]) -> bytes:
    """A call of decide.lua."""
    names = [charge.counter for charge in charges]
    names += [marker for charge in charges for marker in charge.markers]
    parameters = [parameter for charge in charges for parameter in _decide_parameters(charge)]
    head = script.head(len(names), _DECIDE_HEADER_FIELDS + len(parameters))
    return head + bulks((*names, len(charges), *parameters))


def acquire_call(script: Script, charges: Sequence[Charge], options: AcquireOptions, set_marker: str = "") -> bytes:
    """A call of acquire.lua; `set_marker` is the key of the backlog marker that gets the options' value."""
    names = [charge.counter for charge in charges]
    names += [marker for charge in charges for marker in charge.markers]
    if options.marker:
        names.append(set_marker)
    head = script.head(len(names), _ACQUIRE_HEADER_FIELDS + _ACQUIRE_QUOTA_FIELDS * len(charges))
    parameters = [bulk(parameter) for charge in charges for parameter in _acquire_parameters(charge)]
    return b"".join((head, bulks(names), bulks(options), bulk(len(charges)), *parameters))


def acquire_call_around_place(script: Script, charges: Sequence[Charge]) -> tuple[bytes, bytes]:
    """What comes before and after the name of the place in a live request's call of acquire.lua."""
    packed = acquire_call(script, charges, AcquireOptions(place=_STAND_IN))
    before, _, after = packed.rpartition(bulk(_STAND_IN))  # what comes behind the keys is ours
    return before, after


def acquire_turns_call(script: Script, turns: Sequence[TurnRequest], options: tuple[int, int, int, int, str]) -> bytes:
    """A call of acquire_turns.lua; `options` are its first arguments. Each counter is sent once."""
    shared = turns[0].shared
    numbers: dict[str, int] = {}
    counters: list[Argument] = []
    markers: list[str] = []
    parts: list[Argument] = []
    for turn in turns:
        if turn.marker:
            markers.append(turn.marker)
        parts += [turn.n, int(turn.marker_ttl_s * 1000) if turn.marker else 0, len(turn.charges)]
        for charge in turn.charges:
            number = numbers.get(charge.counter)
            if number is None:
                number = numbers[charge.counter] = len(numbers) + 1
                counters += _counter_parameters(charge)
            parts += [number, charge.cost]
    arguments = [*options, shared, len(numbers), *counters, *parts]
    names = [*numbers, *markers]
    return script.head(len(names), len(arguments)) + bulks((*names, *arguments))


def correct_call(script: Script, sender: str, batch: int, ttl_ms: int, corrections: Sequence[Correction]) -> bytes:
    """A call of correct.lua; `sender` is the key where the number of the sender's last batch is kept."""
    names = [sender, *[each.charge.counter for each in corrections]]
    parameters = [part for each in corrections for part in (*_counter_parameters(each.charge), each.units)]
    return script.head(len(names), 2 + len(parameters)) + bulks((*names, batch, ttl_ms, *parameters))


def give_back_slot_call(script: Script, charges: Sequence[Charge], slots: Slots) -> bytes:
    """A call of give_back_slot.lua for the single slot of an answer, and the quotas whose next slot has to wait.

    A quota that has units left keeps it, as it delays nobody. Places in flight are given back separately.
    """
    counters = [
        (charge, wait_us)
        for charge, wait_us in zip(charges, slots.quota_waits_us, strict=True)
        if wait_us > 0 and not charge.holds_place
    ]
    names = [charge.counter for charge, _ in counters]
    parameters: list[Argument] = [slots.given_us + slots.waits_us[0]]
    for charge, wait_us in counters:
        parameters += [*_counter_parameters(charge), charge.cost, slots.given_us + wait_us]
    return script.head(len(names), len(parameters)) + bulks((*names, *parameters))


def acquire_turns_reply(turns: Sequence[TurnRequest], reply: list[int]) -> list[Slots]:
    """Read the reply of acquire_turns.lua."""
    now_us, at = reply[0], 1
    answers = []
    for turn in turns:
        if at == len(reply):
            break
        granted, next_wait_us = reply[at : at + 2]
        slots_at = at + 2
        quotas_at = slots_at + granted
        at = quotas_at + len(turn.charges)
        answers.append(Slots(tuple(reply[slots_at:quotas_at]), next_wait_us, now_us, tuple(reply[quotas_at:at])))
    return answers


def marker_value(at_us: int, ttl_s: float, *, renewed: bool = True) -> tuple[str, int]:
    """A marker's value and time to live in ms. The value begins with the latter, or with 0 if no decision renews it."""
    ttl_ms = int(ttl_s * 1000)
    return f"{ttl_ms if renewed else 0} {at_us}", ttl_ms


def decide_reply(reply: list[int]) -> Verdict:
    """Read the reply of decide.lua."""
    return Verdict(reply[0] == 1, _states(reply, _DECIDE_STATES_AT))


def acquire_reply(reply: list[int]) -> AcquireReply:
    """Read the reply of acquire.lua."""
    granted, next_wait_us, now_us = reply[:_ACQUIRE_SLOTS_AT]
    states_at = _ACQUIRE_SLOTS_AT + granted
    return AcquireReply(next_wait_us, now_us, tuple(reply[_ACQUIRE_SLOTS_AT:states_at]), _states(reply, states_at))


def _states(reply: list[int], first: int) -> tuple[QuotaState, ...]:
    """The states of all quotas, which end both replies."""
    states = []
    for at in range(first, len(reply), _STATE_FIELDS):
        remaining, wait_us, reset_us, refused, backlog = reply[at : at + _STATE_FIELDS]
        states.append(_new(QuotaState, (remaining, wait_us, reset_us, refused == 1, backlog == 1, False)))
    return tuple(states)


_new = tuple.__new__  # the generated constructor of a named tuple calls it too, but takes several times as long


def _decide_parameters(charge: Charge) -> tuple[Argument, ...]:
    """One quota as decide.lua names it; the first argument is the text that a counter keeps."""
    interval_us, units = ALGORITHMS[charge.policy.algorithm].lua_parameters(charge.policy)
    parameters = f"{interval_us} {units} {charge.policy.window_text} {charge.policy.revision}"
    return (parameters, interval_us, units, charge.cost, _flags(charge))


def _acquire_parameters(charge: Charge) -> tuple[Argument, ...]:
    """One quota as acquire.lua names it."""
    return (*_counter_parameters(charge), charge.cost, _flags(charge))


def _counter_parameters(charge: Charge) -> tuple[Argument, ...]:
    """A counter's policy as acquire.lua and acquire_turns.lua name it."""
    algorithm = ALGORITHMS[charge.policy.algorithm]
    interval_us, units = algorithm.lua_parameters(charge.policy)
    return (algorithm.name, interval_us, units, charge.policy.window_text, charge.policy.revision)


def _flags(charge: Charge) -> int:
    return SHADOW_FLAG * charge.shadow + MARKER_FLAG * len(charge.markers)
