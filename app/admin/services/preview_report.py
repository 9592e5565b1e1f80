"""The report of a preview: replays the samples against both versions of a rule and estimates the totals. Pure.

Callers are sampled independently, each with the probability `share`, and whole. So a total over all callers is
estimated by the total of the sample divided by the share (Horvitz and Thompson, 1952), and the variance of that by the
sum of (1 - share) / share² times the square of each caller's number.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.admin.services.preview_model import AffectedCaller, Estimate, Preview, PreviewedOutcomes
from app.rules.active import ActiveRule
from app.traffic.replay import Outcome, replay
from app.traffic.samples import Arrival, RuleSample, position_of

QUANTILE_95 = 1.96
"""Of the normal distribution: 95 of 100 values are within so many standard deviations."""

MOST_AFFECTED = 10


@dataclass(frozen=True, slots=True)
class _Replayed:
    """One caller's requests by outcome, by the rule as it is stored and by the changed one."""

    descriptor: str
    now: Counter[Outcome]
    then: Counter[Outcome]

    @property
    def requests(self) -> int:
        return self.now.total()

    @property
    def change(self) -> int:
        """By how much the number of forwarded requests changes."""
        return _passing(self.then) - _passing(self.now)


def merged(samples: Sequence[RuleSample]) -> RuleSample:
    """Return the samples of all edges as one: of the callers and the time that all of them have."""
    share = min(sample.share for sample in samples)
    since_s = max(sample.since_s for sample in samples)
    arrivals: dict[str, list[Arrival]] = {}
    for sample in samples:
        for descriptor, of_caller in sample.arrivals.items():
            kept = [arrival for arrival in of_caller if arrival.at_s >= since_s]
            if kept and position_of(descriptor) < share:
                arrivals.setdefault(descriptor, []).extend(kept)
    return RuleSample(share, since_s, {descriptor: sorted(of_caller) for descriptor, of_caller in arrivals.items()})


def report(sample: RuleSample, now: ActiveRule, then: ActiveRule, at_s: float) -> Preview:
    """Return what `then` would have done to the sample's requests, beside what `now` does to them."""
    replayed = [
        _Replayed(descriptor, Counter(replay(now, arrivals)), Counter(replay(then, arrivals)))
        for descriptor, arrivals in sample.arrivals.items()
    ]
    seconds = max(0.0, at_s - sample.since_s)
    affected = sorted((one for one in replayed if one.change), key=_by_change)
    return Preview(
        summary=_summary(replayed, affected, sample.share, seconds),
        seconds=round(seconds, 1),
        share=sample.share,
        sampled_callers=len(replayed),
        sampled_requests=sum(one.requests for one in replayed),
        requests=_estimate((one.requests for one in replayed), sample.share),
        now=_outcomes([one.now for one in replayed], sample.share),
        then=_outcomes([one.then for one in replayed], sample.share),
        most_affected=[
            AffectedCaller(
                descriptor=one.descriptor,
                requests=one.requests,
                forwarded_now=_passing(one.now),
                forwarded_then=_passing(one.then),
            )
            for one in affected[:MOST_AFFECTED]
        ],
        notes=_notes(now, then),
    )


def _passing(outcomes: Mapping[Outcome, int]) -> int:
    """Requests that reach the app server at once."""
    return outcomes.get(Outcome.FORWARDED, 0) + outcomes.get(Outcome.UNTOUCHED, 0)


def _by_change(one: _Replayed) -> tuple[int, str]:
    return (-abs(one.change), one.descriptor)


def _estimate(of_callers: Iterable[int], share: float) -> Estimate:
    numbers = list(of_callers)
    variance = (1 - share) / share**2 * sum(number**2 for number in numbers)
    return Estimate(requests=round(sum(numbers) / share), margin=math.ceil(QUANTILE_95 * math.sqrt(variance)))


def _outcomes(of_callers: Sequence[Mapping[Outcome, int]], share: float) -> PreviewedOutcomes:
    def total(outcome: Outcome) -> Estimate:
        return _estimate([of_caller.get(outcome, 0) for of_caller in of_callers], share)

    return PreviewedOutcomes(
        forwarded=total(Outcome.FORWARDED),
        rejected=total(Outcome.REJECTED),
        deferred=total(Outcome.DEFERRED),
        blocked=total(Outcome.BLOCKED),
        untouched=total(Outcome.UNTOUCHED),
    )


def _summary(replayed: Sequence[_Replayed], affected: Sequence[_Replayed], share: float, seconds: float) -> str:
    requests = _estimate((one.requests for one in replayed), share)
    held = _estimate((one.requests - _passing(one.then) for one in replayed), share)
    held_now = _estimate((one.requests - _passing(one.now) for one in replayed), share)
    callers = sum(1 for one in replayed if _passing(one.then) < one.requests)
    text = (
        f"It would not have forwarded at once {_text(held)} of {_text(requests)} requests of the last {seconds:.0f} s, "
        f"of {callers} of the {len(replayed)} callers that were looked at; the rule as it is: {_text(held_now)}."
    )
    return f"{text} Most changes for {affected[0].descriptor}." if affected else text


def _text(estimate: Estimate) -> str:
    return f"{estimate.requests:,}" + (f" (± {estimate.margin:,})" if estimate.margin else "")


def _notes(now: ActiveRule, then: ActiveRule) -> list[str]:
    notes = []
    if any(policy.limits_concurrency for rule in (now, then) for policy in rule.policies):
        notes.append("How long requests take is not known, so `concurrency` is left out.")
    if any(rule.stated_in is not None for rule in (now, then)):
        notes.append("What answers state of the cost is not known: requests cost what was charged before the answer.")
    if then.cost_header and then.cost_header != now.cost_header:
        notes.append("What another header states of the cost is not known: requests cost what they cost today.")
    if then.methods != now.methods or then.path_prefix != now.path_prefix:
        notes.append("Requests to which the rule does not apply today are not known.")
    return notes
