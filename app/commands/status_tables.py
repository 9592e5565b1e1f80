"""How `penstock status` and `penstock top` write what the admin API says of an installation."""

from collections.abc import Iterable, Sequence
from typing import Any

from app.commands.durations import format_duration
from app.commands.tables import print_rows

GIB, MIB = 1 << 30, 1 << 20


def print_status(status: dict[str, Any]) -> None:
    """Print the tables of processes, stores and app servers, and lines about rates, rules and the backlog."""
    print_rows(
        ("part", "host", "version", "up for", "heard of", "rules version", "rates"),
        map(_process_row, status["processes"]),
    )
    print_rows(("store", "version", "memory", "free disk", "state"), map(_store_row, status["stores"]))
    if status["app_servers"]:
        print_rows(("app server", "breakers open"), map(_app_server_row, status["app_servers"]))
    for line in summary(status):
        print(line)


def summary(status: dict[str, Any]) -> Iterable[str]:
    """Lines about the rates, the backlog and the rules."""
    rates, backlog, rules = status["rates"], status["backlog"], status["rules"]
    decisions = ", ".join(f"{name} {rate:.1f}/s" for name, rate in rates["decisions"].items())
    yield f"decisions: {decisions}; attempts to send jobs: {rates['attempts']:.1f}/s"
    if backlog is not None:
        oldest = backlog["oldest_age_seconds"]
        age = "" if oldest is None else f", the oldest {format_duration(oldest)} old"
        others = f"{backlog['retrying']} back off; {backlog['dead_letters']} dead letters"
        yield f"backlog: {backlog['jobs']} jobs{age}; {others}"
    lag = rules["sync_lag_seconds"]
    behind = "" if lag is None else f", sync is at most {lag:.1f} s behind MongoDB"
    yield f"rules: {'none' if rules['version'] is None else 'version ' + str(rules['version'])}{behind}"


def _process_row(process: dict[str, Any]) -> Sequence[str]:
    version = process["rules_version"]
    age = format_duration(process["rules_version_age_seconds"] or 0)
    rules_version = "" if version is None else f"{version}, for {age}"
    heard = f"{process['heartbeat_age_seconds']:.0f} s ago" + (", silent" if process["silent"] else "")
    rates = ", ".join(f"{name} {rate:.1f}/s" for name, rate in process["rates"].items() if rate)
    where = f"{process['host']}:{process['pid']}"
    return (
        process["role"],
        where,
        process["version"],
        format_duration(process["uptime_seconds"]),
        heard,
        rules_version,
        rates,
    )


def _store_row(store: dict[str, Any]) -> Sequence[str]:
    used, most, free = store["used_memory_bytes"], store["max_memory_bytes"], store["disk_free_bytes"]
    memory = "" if used is None else f"{used / MIB:.0f} MiB" + (f" of {most / MIB:.0f} MiB" if most else "")
    disk = "" if free is None else f"{free / GIB:.1f} GiB"
    state = "; ".join([*(store["problems"] or ["ok"]), *map(_topic, store.get("topics", ()))])
    return store["store"].replace("_", " "), store["version"] or "", memory, disk, state


def _topic(topic: dict[str, Any]) -> str:
    behind = "an unknown number of" if topic["lag"] is None else topic["lag"]
    read = f"{topic['partitions_read']} of {topic['partitions'] or '?'} partitions are read"
    return f"{behind} messages wait in {topic['topic']}, of which {read}"


def _app_server_row(server: dict[str, Any]) -> Sequence[str]:
    return server["app_server"], f"{server['breakers_open']} of {server['breakers']}"
