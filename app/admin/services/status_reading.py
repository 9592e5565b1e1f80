"""What heartbeats and stores say about the installation: pure functions."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import isinf

from pydantic import ValidationError

from app.admin.services.status_model import (
    DECISIONS,
    AppServerStatus,
    LatencyStatus,
    ProcessStatus,
    RateStatus,
    RulesStatus,
    StatusProblem,
    StoreStatus,
)
from app.process.heartbeat import INTERVAL_S, Heartbeat

SILENT_AFTER_S = 4 * INTERVAL_S
BEHIND_AFTER_S = 10.0
"""A process that has rules older than the published ones for so long, or a sync that lags so much, is a problem."""

NEEDED_ROLES = ("edge", "worker", "sync")


def process_statuses(heartbeats: Iterable[Heartbeat]) -> list[ProcessStatus]:
    """Return the processes by their last heartbeats. What another version of Penstock says otherwise is left out."""
    found = []
    for heartbeat in heartbeats:
        with suppress(KeyError, TypeError, ValidationError):
            found.append(_process_status(heartbeat))
    return sorted(found, key=lambda one: (one.role, one.host, one.pid))


def _process_status(heartbeat: Heartbeat) -> ProcessStatus:
    said = heartbeat.said
    return ProcessStatus(
        id=heartbeat.process_id,
        role=said["role"],
        host=said["host"],
        pid=said["pid"],
        version=said["version"],
        uptime_seconds=max(0.0, round(time.time() - said["started_at_s"], 3)),
        heartbeat_age_seconds=round(heartbeat.age_s, 3),
        silent=heartbeat.age_s > SILENT_AFTER_S,
        rules_version=said.get("rules_version"),
        rules_version_age_seconds=said.get("rules_version_age_s"),
        lag_seconds=said.get("lag_s"),
        in_flight=said.get("in_flight"),
        rates=said.get("rates_per_s", {}),
    )


def rates(processes: Iterable[ProcessStatus]) -> RateStatus:
    """Add up the rates of the processes that have been heard of lately."""
    decisions = dict.fromkeys(DECISIONS, 0.0)
    attempts = 0.0
    for process in processes:
        if process.silent:
            continue
        if process.role == "edge":
            for decision in DECISIONS:
                decisions[decision] += process.rates.get(decision, 0.0)
        elif process.role == "worker":
            attempts += sum(process.rates.values())
    return RateStatus(decisions={name: round(rate, 3) for name, rate in decisions.items()}, attempts=round(attempts, 3))


def app_servers(heartbeats: Iterable[Heartbeat]) -> list[AppServerStatus]:
    """Return each app server with its breakers in all processes that have been heard of lately."""
    found: dict[str, list[bool]] = {}
    for heartbeat in heartbeats:
        if heartbeat.age_s <= SILENT_AFTER_S:
            for server, is_open in heartbeat.said.get("breakers_open", {}).items():
                found.setdefault(server, []).append(is_open)
    return [
        AppServerStatus(app_server=server, breakers=len(breakers), breakers_open=sum(breakers))
        for server, breakers in sorted(found.items())
    ]


def sync_lag_s(processes: Iterable[ProcessStatus]) -> float | None:
    """Return how far the sync process that is least behind is, in seconds; None where no sync is heard of."""
    lags = [
        process.lag_seconds + process.heartbeat_age_seconds
        for process in processes
        if process.lag_seconds is not None and not process.silent
    ]
    return round(min(lags), 3) if lags else None


def invalid_documents(heartbeats: Iterable[Heartbeat]) -> int | None:
    """Return how many documents in MongoDB were no valid rules, by the latest word of a sync process."""
    said = [(one.age_s, one.said["invalid_documents"]) for one in heartbeats if "invalid_documents" in one.said]
    return min(said)[1] if said else None


def decision_latency(heartbeats: Iterable[Heartbeat]) -> LatencyStatus | None:
    """Return how long decisions took by all edges together; None where none was made, or none is known of."""
    rates: dict[float, float] = {}
    for heartbeat in heartbeats:
        if heartbeat.age_s <= SILENT_AFTER_S:
            with suppress(KeyError, AttributeError, TypeError, ValueError):
                for bound, rate in heartbeat.said["decided_within_per_s"].items():
                    rates[float(bound)] = rates.get(float(bound), 0.0) + rate
    if sum(rates.values()) <= 0:
        return None
    return LatencyStatus(p50_seconds=_quantile(rates, 0.5), p99_seconds=_quantile(rates, 0.99))


def _quantile(rates: Mapping[float, float], quantile: float) -> float:
    """Estimate a quantile from what was counted up to each bound, as Prometheus does: linearly between two bounds.

    What is beyond the last bound is that bound.
    """
    wanted, below, seen = quantile * sum(rates.values()), 0.0, 0.0
    for bound, rate in sorted(rates.items()):
        if isinf(bound):
            break
        if rate > 0 and seen + rate >= wanted:
            return round(below + (bound - below) * (wanted - seen) / rate, 6)
        below, seen = bound, seen + rate
    return below


def problems(
    processes: Sequence[ProcessStatus],
    stores: Sequence[StoreStatus],
    rules: RulesStatus,
    app_servers: Sequence[AppServerStatus] = (),
) -> list[StatusProblem]:
    """Return a sentence for each thing that is not as it should be, and what it is about."""
    found = {
        "stores": [f"{store.store}: {problem}." for store in stores for problem in store.problems],
        "processes": ["The processes are not known while the cache Redis cannot be reached."],
    }
    if all(store.reachable for store in stores if store.store == "cache_redis"):
        found["processes"] = _process_problems(processes, rules)
        found["app_servers"] = [
            f"The circuit breaker of {one.app_server} is open in {one.breakers_open} of {one.breakers} processes."
            for one in app_servers
            if one.breakers_open
        ]
        found["rules"] = list(_problems_of_rules(rules))
    return [
        StatusProblem.model_validate({"text": text, "about": about}) for about, texts in found.items() for text in texts
    ]


def _process_problems(processes: Sequence[ProcessStatus], rules: RulesStatus) -> list[str]:
    heard = {process.role for process in processes if not process.silent}
    found = [f"No {role} is running." for role in NEEDED_ROLES if role not in heard]
    found += [
        f"{_name(one)} has not been heard of for {one.heartbeat_age_seconds:.0f} s."
        for one in processes
        if one.silent and not _was_replaced(one, processes)
    ]
    known_for_s = _known_for_s(processes, rules)
    return found + [
        problem for one in processes if not one.silent for problem in _rules_problems(one, rules.version, known_for_s)
    ]


def _problems_of_rules(rules: RulesStatus) -> Iterator[str]:
    if rules.version is None:
        yield "No rules are published."
    if rules.sync_lag_seconds is not None and rules.sync_lag_seconds > BEHIND_AFTER_S:
        yield f"Sync is {rules.sync_lag_seconds:.0f} s behind MongoDB."
    if rules.invalid_documents:
        yield f"Documents in MongoDB that are not valid rules: {rules.invalid_documents}."


def _was_replaced(silent: ProcessStatus, processes: Iterable[ProcessStatus]) -> bool:
    """Whether a process of the same role was started on the same host since the silent one was heard of."""
    return any(
        (one.role, one.host) == (silent.role, silent.host)
        and not one.silent
        and one.uptime_seconds < silent.heartbeat_age_seconds
        for one in processes
    )


def _known_for_s(processes: Iterable[ProcessStatus], rules: RulesStatus) -> float:
    """For how long some process has had the published version of the rules."""
    return max(
        (
            one.heartbeat_age_seconds + (one.rules_version_age_seconds or 0.0)
            for one in processes
            if one.rules_version is not None and one.rules_version == rules.version
        ),
        default=0.0,
    )


def _rules_problems(process: ProcessStatus, published: int | None, known_for_s: float) -> list[str]:
    """An older version is no problem at once: a change is on its way for a moment."""
    if process.role not in {"edge", "worker"} or published is None:
        return []
    if process.rules_version is None:
        return [f"{_name(process)} has no rules."] if process.uptime_seconds > BEHIND_AFTER_S else []
    if process.rules_version >= published or known_for_s <= BEHIND_AFTER_S:
        return []
    return [f"{_name(process)} has version {process.rules_version} of the rules, and {published} is published."]


def _name(process: ProcessStatus) -> str:
    return f"The {process.role} {process.host}:{process.pid}"
