"""The steps of a job from enqueueing to its outcome, in the batches in which edges and workers take them.

All that `life.py` needs of the interface of `Flows` is in this file.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from app.jobs.model import JobStatus, StoredRequest, StoredResponse, encode_request, owner_of
from app.limiter.keys import descriptor
from app.queue.flows import Flows
from app.queue.model import (
    Deferral,
    Enqueued,
    FrozenCharge,
    Full,
    LeasedJob,
    Settlement,
    TakenFlow,
    TakenRing,
    Turn,
    Wait,
)
from app.rules.active import ActiveRule
from app.rules.model import parse_rule
from tests.benchmarks.errors import require

ENQUEUED_AT_ONCE = 64
"""Deferrals in one turn of the edge's event loop."""

FLOWS_A_TAKE = 128
FLOW_LEASE_US = 60_000_000
LEASED_AT_ONCE = 64
"""Jobs a call, of one flow."""

SETTLED_AT_ONCE = 100
REQUEST_BYTES = 600
RESPONSE = StoredResponse(200, [(b"content-type", b"text/plain"), (b"x-request-id", b"0" * 32)], b"y" * 100)
"""About 200 bytes as it is stored."""


def user_rule(revision: int = 1, per_s: int = 1_000_000, **queue: float) -> ActiveRule:
    """A rule that defers each user's requests into flows that are never full. `queue`: fields of the rule's `queue`."""
    fields = {"rule_id": "by-user", "key_type": "user", "key_value": "*", "limit": 1, "window_seconds": 3600}
    drain = {"limit": per_s, "window_seconds": 1}
    queue = {"max_depth": 10_000_000, "max_bytes": 1 << 40, "max_wait_seconds": 3_000_000} | queue
    return ActiveRule(parse_rule({**fields, "on_limit": "defer", "drain": drain, "queue": queue}), revision)


def request_of(size: int) -> StoredRequest:
    """A request of this size in bytes as it is stored."""
    headers = [(b"content-type", b"application/json"), (b"x-forwarded-for", b"10.0.0.1"), (b"accept", b"*/*")]
    bare = StoredRequest("POST", b"/work?item=1", headers, b"")
    return replace(bare, body=b"x" * max(0, size - len(encode_request(bare))))


USUAL_REQUEST = request_of(REQUEST_BYTES)


def owner_by_number(number: int, flows: int) -> str:
    """The owner of a job. Users take turns, one for each flow."""
    return owner_of("https://issuer.example", user_name(number % flows))


def user_name(turn: int) -> str:
    """The subject of a user's token."""
    return f"user_{turn:08}"


def address(turn: int) -> str:
    """A user's address."""
    return f"10.{turn >> 16}.{turn >> 8 & 255}.{turn & 255}"


@lru_cache(maxsize=1024)
def _charged(turn: int, rule_id: str, addresses: int) -> tuple[FrozenCharge, ...]:
    """What the jobs of one user are charged for."""
    whom, where = descriptor("user", user_name(turn)), descriptor("ip", address(turn % addresses))
    return (FrozenCharge(rule_id, whom, 1), FrozenCharge("by-address", where, 1))


def deferral(
    number: int,
    flows: int,
    rule: ActiveRule,
    request: StoredRequest = USUAL_REQUEST,
    key: str | None = None,
    addresses: int = 1 << 24,
) -> Deferral:
    """A request to defer, charged to a user and an address. Users take turns, one for each flow; so do addresses."""
    charges = _charged(number % flows, rule.rule_id, addresses)
    return Deferral(rule, charges, owner_by_number(number, flows), request, idempotency_key=key)


async def enqueue(flows: Flows, jobs: int, count: int) -> None:
    """Enqueue this many jobs into `count` flows in turn."""
    rule = user_rule()
    for first in range(0, jobs, ENQUEUED_AT_ONCE):
        some = range(first, min(first + ENQUEUED_AT_ONCE, jobs))
        answers = await asyncio.gather(*(flows.enqueue(deferral(number, count, rule)) for number in some))
        require(all(isinstance(answer, Enqueued) for answer in answers), f"not accepted: {_full(answers)}")


def _full(answers: Sequence[Enqueued | Full]) -> Full | None:
    return next((answer for answer in answers if isinstance(answer, Full)), None)


async def take(flows: Flows, most: int = FLOWS_A_TAKE) -> list[TakenFlow]:
    """Take flows that are due."""
    _, taken = await flows.take(0, most, FLOW_LEASE_US)
    return [unit for unit in taken if isinstance(unit, TakenFlow)]


async def lease(flows: Flows, flow: TakenFlow, n: int, consumer: str = "worker") -> tuple[list[LeasedJob], TakenFlow]:
    """Lease up to `n` jobs of a taken flow, which stays taken. Also returns the flow as it is afterwards."""
    lease = await flows.lease(flow, n, consumer=consumer, keep_us=FLOW_LEASE_US)
    assert lease is not None, "nobody else takes flows"
    return list(lease.jobs), replace(flow, head=lease.head)


async def form_rings(flows: Flows) -> None:
    """Let all flows that are due wait for their addresses, so that those that share one form a ring."""
    only_rings = False
    while not only_rings:
        _, taken = await flows.take(0, FLOWS_A_TAKE, FLOW_LEASE_US)
        only_rings = bool(taken) and all(isinstance(unit, TakenRing) for unit in taken)
        for unit in taken:
            counter = unit.name.rpartition(";")[2] if isinstance(unit, TakenFlow) else unit.counter
            await flows.give_back(unit, Wait(0, counter))


async def take_rings(into: list[TakenRing], flows: Flows) -> None:
    """Take rings that are due, and append them to `into`."""
    _, taken = await flows.take(0, FLOWS_A_TAKE, FLOW_LEASE_US)
    into += [unit for unit in taken if isinstance(unit, TakenRing)]


async def lease_turns(into: list[LeasedJob], flows: Flows, rings: Sequence[TakenRing]) -> None:
    """Lease a job of the next flow of each of these rings at the same time, and append it to `into`."""
    turns = [[Turn(ring.heads[0].name, 1, ring.heads[0].costs)] for ring in rings]
    leases = await asyncio.gather(
        *(
            flows.lease_turns(ring, turn, consumer="worker", keep_us=FLOW_LEASE_US)
            for ring, turn in zip(rings, turns, strict=True)
        )
    )
    into += [job for lease in leases if lease is not None for job in lease.jobs]


async def lease_into(into: list[LeasedJob], flows: Flows, flow: TakenFlow, n: int) -> None:
    """Lease jobs as `lease` does, and append them to `into`."""
    into += (await lease(flows, flow, n))[0]


async def give_back(flows: Flows, flow: TakenFlow) -> None:
    """Give a taken flow back. It is due at once if it has jobs."""
    await flows.give_back(flow, Wait(0))


async def take_and_lease(flows: Flows) -> list[LeasedJob]:
    """Take flows, lease all their jobs, and give them back, as a worker does if the rules permit any rate."""
    leased: list[LeasedJob] = []
    while taken := await take(flows):
        for jobs in await asyncio.gather(*(_lease_all(flows, flow) for flow in taken)):
            leased += jobs
    return leased


async def _lease_all(flows: Flows, flow: TakenFlow) -> list[LeasedJob]:
    """Lease all jobs of one flow and give it back. It is due no more then."""
    leased: list[LeasedJob] = []
    while flow.head.same_cost:
        jobs, flow = await lease(flows, flow, min(flow.head.same_cost, LEASED_AT_ONCE))
        leased += jobs
    await give_back(flows, flow)
    return leased


async def settle(flows: Flows, jobs: Sequence[LeasedJob]) -> None:
    """Store the outcomes of these jobs, which have all succeeded."""
    for first in range(0, len(jobs), SETTLED_AT_ONCE):
        some = jobs[first : first + SETTLED_AT_ONCE]
        stored = await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=RESPONSE) for job in some])
        require(all(stored), f"{stored.count(False)} of {len(some)} outcomes were dropped")


Ask = Callable[..., Awaitable[object]]
"""Sends one plain command: takes a key and the words of the command."""


async def bare_stream(ask: Ask, jobs: int) -> None:
    """Bring requests of the same size through a stream in the same batches. Its cost is the floor."""
    stream, request = "{q0}:bare", b"x" * REQUEST_BYTES
    await ask(stream, "XGROUP", "CREATE", stream, "workers", "0", "MKSTREAM")
    for first in range(0, jobs, ENQUEUED_AT_ONCE):
        some = min(ENQUEUED_AT_ONCE, jobs - first)
        await asyncio.gather(*(ask(stream, "XADD", stream, "*", "request", request) for _ in range(some)))
    read: list[bytes] = []
    while found := await _read(ask, stream):
        read += found
    require(len(read) == jobs, f"{jobs} entries were added to the bare stream, and {len(read)} were read")
    for first in range(0, jobs, SETTLED_AT_ONCE):
        ids = read[first : first + SETTLED_AT_ONCE]
        await asyncio.gather(ask(stream, "XACK", stream, "workers", *ids), ask(stream, "XDEL", stream, *ids))


async def _read(ask: Ask, stream: str) -> list[bytes]:
    words = ("GROUP", "workers", "worker", "COUNT", LEASED_AT_ONCE, "STREAMS", stream, ">")
    answer = await ask(stream, "XREADGROUP", *words)
    assert answer is None or isinstance(answer, list)
    return [entry[0] for entry in answer[0][1]] if answer else []
