"""The format of the jobs' topic: what the intake reads, and what it refuses."""

import json
from typing import Any

import pytest

from app.edge.deferral import idempotency_key
from app.errors import MalformedRequest
from app.jobs.model import StoredRequest, new_job_id
from app.queue.kafka.messages import (
    CURRENT,
    JOB,
    VERSION,
    RecordedJob,
    SubmittedJob,
    UnreadableMessage,
    message_headers,
    read_message,
)
from tests.support.flow_steps import active

SUBMITTED: dict[str, Any] = {"rule_id": "r", "descriptor": "user:u", "method": "GET", "target": "/"}


def read(value: object, partitions: int = 4) -> SubmittedJob:
    message = read_message([(VERSION, CURRENT)], json.dumps(value).encode(), partitions)
    assert isinstance(message, SubmittedJob)
    return message


def test_an_edges_message_names_its_job() -> None:
    job_id = new_job_id(3)
    assert read_message(message_headers(job_id), b"stored", 4) == RecordedJob(job_id, b"stored")


@pytest.mark.parametrize(
    "job_id", [new_job_id(4), "nonsense", "", "0-" + "x" * 23], ids=["partition", "text", "", "long"]
)
def test_a_message_whose_job_id_cannot_exist_is_unreadable(job_id: str) -> None:
    with pytest.raises(UnreadableMessage, match="penstock-job is not a job's id"):
        read_message(message_headers(job_id), b"stored", 4)


@pytest.mark.parametrize("headers", [[], [(VERSION, b"2")], [(JOB, b"0-" + b"x" * 22)]], ids=["none", "2", "job only"])
def test_a_message_of_another_version_is_unreadable(headers: list[tuple[str, bytes]]) -> None:
    with pytest.raises(UnreadableMessage, match="penstock-version is not 1"):
        read_message(headers, b"{}", 4)


def test_a_message_without_a_value_is_unreadable() -> None:
    with pytest.raises(UnreadableMessage, match="the message has no value"):
        read_message([(VERSION, CURRENT)], None, 4)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"body": "a", "body_base64": "YQ=="}, "body and body_base64 exclude each other"),
        ({"issuer": "https://issuer.test"}, "issuer and subject must be given together"),
        ({"method": "G T"}, "method"),
        ({"descriptor": "user:a|b"}, "descriptor"),
        ({"unknown": 1}, "unknown"),
    ],
    ids=["two bodies", "issuer only", "method", "descriptor", "unknown field"],
)
def test_an_invalid_submitted_job_is_unreadable(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnreadableMessage, match=reason):
        read(SUBMITTED | fields)


def test_a_submitted_job_becomes_a_deferral_that_costs_its_own_rule() -> None:
    rule = active()
    job = read(SUBMITTED | {"headers": [["A", "b"], ["Authorization", "Bearer secret"]], "body": "text"})
    deferral = job.deferral(rule, "jobs 0 7")
    assert isinstance(deferral.request, StoredRequest)
    assert [(charge.rule_id, charge.descriptor, charge.cost) for charge in deferral.charges] == [("r", "user:u", 1)]
    assert (deferral.owner, deferral.idempotency_key) == ("", "kafka\0at\0jobs 0 7"), "a message read twice is one job"
    assert deferral.request.body == b"text"
    names = {name for name, _ in deferral.request.headers}
    assert b"a" in names
    assert not names & {b"authorization", b"x-forwarded-for"}


def test_a_submitted_job_costs_what_its_header_states() -> None:
    rule = active(limit=100, drain=None, cost={"header": "X-Cost", "default": 2, "max": 50})
    for headers, cost in (([], 2), ([["x-cost", "7"]], 7), ([["X-COST", "70"]], 50), ([["X-Cost", "x"]], 2)):
        deferral = read(SUBMITTED | {"headers": headers}).deferral(rule, "jobs 0 7")
        assert [charge.cost for charge in deferral.charges] == [cost]


@pytest.mark.parametrize("key", ["order-1", "at\0jobs 0 7", "\0kafka\0at\0jobs 0 7", "kafka jobs 0 7"])
def test_the_keys_of_producers_of_messages_and_of_clients_are_apart(key: str) -> None:
    """Whatever a producer writes, its key names neither another message nor the job of a client."""
    rule = active()
    own = read(SUBMITTED | {"idempotency_key": key}).deferral(rule, "jobs 0 7").idempotency_key or ""
    by_place = read(SUBMITTED).deferral(rule, "jobs 0 7").idempotency_key or ""
    assert own.endswith(key)
    assert len({own, by_place, key}) == 3
    assert own == read(SUBMITTED | {"idempotency_key": key}).deferral(rule, "jobs 1 9").idempotency_key
    assert not own.startswith(by_place[:9])
    for clients in (b"kafka jobs 0 7", b'"kafka jobs 0 7"', own.encode(), by_place.encode()):
        try:
            theirs = idempotency_key([(b"idempotency-key", clients)])
        except MalformedRequest:
            continue
        assert theirs not in {own, by_place}


@pytest.mark.parametrize(
    "fields", [{"body_base64": "?"}, {"headers": [["a b", "c"]]}, {"headers": [["a", "b\r\nc: d"]]}]
)
def test_a_submitted_job_whose_request_is_malformed_is_unreadable(fields: dict[str, Any]) -> None:
    with pytest.raises(UnreadableMessage, match=next(iter(fields))):
        read(SUBMITTED | fields).deferral(active(), "jobs 0 7")
