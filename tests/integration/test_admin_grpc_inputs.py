"""Whatever a client of the gRPC API sends, it gets an answer that says what is wrong, and never INTERNAL."""

import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import NULL_VALUE, Value
from redis.asyncio import Redis

from app.admin.grpc.messages import to_fields
from app.admin.proto import admin_pb2 as pb
from app.rules.model import parse_rule
from sync.publisher import Publisher
from tests.support.admin_in_process import Admin
from tests.support.grpc_in_process import METHODS, GrpcAdmin, grpc_running
from tests.support.rules import publish_all

RULE = {"rule_id": "r", "key_type": ["user"], "key_value": ["*"], "limit": 5, "window_seconds": 60, "on_limit": "defer"}
FLOW_ID = "cnx1c2VyOmE"
"""Of the flow `r|user:a`."""

QUOTA = {"limit": 1, "window_seconds": 1}
KNOWN: dict[str, Any] = {
    "rule_id": "r", "rule": RULE, "flow_id": FLOW_ID, "version": 1, "drain": QUOTA, "rate": QUOTA,
}  # fmt: skip
"""What a request needs to be understood but for the one field that is not."""

TEXTS = ("", "\0", "a\0b", "\ud7ff\ue000\U0010ffff", "*", "-1", "9" * 30, "0-0-99999999999999999999",
         "1.000-0_9999999_9999999999999999", "../..", "x" * 20_000, "é" * 3_000, FLOW_ID)  # fmt: skip
INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (0, -1, 1, 2**31 - 1, -(2**31)),
    FieldDescriptor.CPPTYPE_INT64: (0, -1, 1, 2**53, 2**63 - 1, -(2**63)),
}
DOUBLES = (0.0, -0.0, -1.0, math.nan, math.inf, -math.inf, 5e-324, 1e308)
MAX_DEPTH = 4
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
}


def deep(levels: int) -> Value:
    """A list in a list, and so on."""
    value = Value(number_value=1)
    for _ in range(levels):
        outer = Value()
        outer.list_value.values.append(value)
        value = outer
    return value


VALUES = [
    Value(), Value(null_value=NULL_VALUE), Value(bool_value=True), Value(string_value="\0"),
    *(Value(number_value=number) for number in DOUBLES), deep(1), deep(30),
]  # fmt: skip


def hostile_values(field: FieldDescriptor, depth: int) -> Iterator[Any]:
    """Values of a field that a method may not expect."""
    if field.message_type is None:
        of_type = {FieldDescriptor.CPPTYPE_STRING: TEXTS, FieldDescriptor.CPPTYPE_DOUBLE: DOUBLES, **INTEGERS}
        yield from of_type.get(field.cpp_type, (True,))
    elif field.message_type.full_name == "google.protobuf.Value":
        yield from VALUES
    elif depth < MAX_DEPTH:
        yield from hostile_messages(GetMessageClass(field.message_type), depth + 1)


def hostile_messages(of: type[Message], depth: int = 0) -> Iterator[Message]:
    """Messages of a type, each with one field that has an odd value."""
    fields: Any = of.DESCRIPTOR.fields
    known = KNOWN if depth == 0 else RULE if of is pb.Rule else {}
    base = {name: value for name, value in known.items() if name in of.DESCRIPTOR.fields_by_name}
    yield of()
    for field in fields:
        for value in hostile_values(field, depth):
            others = {name: one for name, one in base.items() if name != field.name}
            message = ParseDict(others, of()) if others else of()
            put(message, field, value)
            yield message


def put(message: Message, field: FieldDescriptor, value: Any) -> None:  # noqa: ANN401
    place = getattr(message, field.name)
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        if entry.fields_by_name["value"].message_type is None:
            place[value.key] = value.value
        else:
            place[value.key].CopyFrom(value.value)
    elif field.is_repeated:
        place.extend([value, value])
    elif field.message_type is not None:
        place.CopyFrom(value)
    else:
        setattr(message, field.name, value)


@pytest.fixture
async def grpc_admin(admin: Admin, cache: Redis) -> AsyncIterator[GrpcAdmin]:
    rule = to_fields(ParseDict(RULE, pb.Rule()))
    await publish_all(Publisher(cache), [parse_rule(rule)], 1)
    async with grpc_running(admin) as running:
        await running("CreateRule", pb.CreateRuleRequest(rule=ParseDict(RULE, pb.Rule())))
        yield running


@pytest.mark.parametrize(("method", "request_type"), METHODS, ids=[method for method, _ in METHODS])
async def test_whatever_is_wrong_with_a_request_the_answer_says_so(
    grpc_admin: GrpcAdmin, method: str, request_type: str
) -> None:
    for request in hostile_messages(getattr(pb, request_type)):
        try:
            await grpc_admin(method, request)
        except grpc.aio.AioRpcError as error:
            assert error.code() in REFUSALS, (str(request)[:1000], error)
            assert error.details(), str(request)[:1000]
