"""Documents that anybody who can write to MongoDB can store, valid or broken in any way that the server lets pass."""

import random
import struct
from collections.abc import Callable
from typing import Any

import bson
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

RULE = {"key_type": "user", "key_value": "*", "limit": 1, "window_seconds": 60}
FIELDS = (
    "_id", "key_type", "key_value", "limit", "window_seconds", "burst", "algorithm", "cost", "priority", "enabled",
    "match", "on_limit", "drain", "paused", "queue", "shadow", "on_store_failure", "version", "updated_at",
    "updated_by", "more", "", "a.b", "match.path_prefix",
)  # fmt: skip


def broken(random: random.Random, name: str) -> RawBSONDocument:
    """A document that need not be a rule, nor what a decoder expects."""
    fields = {"_id": name} | RULE | {random.choice(FIELDS): _value(random) for _ in range(random.randint(1, 4))}
    fields = dict(sorted(fields.items(), key=lambda field: field[0] != "_id"))
    if random.random() < 0.2:
        fields.pop(random.choice(list(RULE)), None)
    try:
        content = bson.encode(fields)
    except (bson.errors.InvalidDocument, OverflowError):
        content = bson.encode({"_id": name} | RULE)
    return RawBSONDocument(_damaged(random, content) if random.random() < 0.5 else content)


def _damaged(random: random.Random, content: bytes) -> bytes:
    """Other bytes in the place of some, so that texts are not UTF-8, types are wrong, lengths do not fit."""
    damaged = bytearray(content)
    for _ in range(random.randint(1, 3)):
        damaged[random.randrange(4, len(damaged) - 1)] = random.choice([0x00, 0xFF, 0xC0, 0x80, random.randrange(256)])
    return bytes(damaged)


def _value(random: random.Random, depth: int = 0) -> Any:  # noqa: ANN401
    makers: list[Callable[[], Any]] = [
        lambda: DatetimeMS(random.choice([-(2**63), 2**63 - 1, 10**17, -(10**15), 0])),
        lambda: random.choice(
            [0, -1, 2**31, Int64(2**63 - 1), Int64(-(2**63)), 5.0, 1e308, float("nan"), float("inf")]
        ),
        lambda: Decimal128(random.choice(["NaN", "1E+6144", "5", "-0"])),
        lambda: "x" * random.choice([0, 1, 100, 5000]),
        lambda: random.choice(["\x00", "\n", "\ud7ff", "\U0010ffff", "*", "10.0.0.0/8", "claim:", "GET", "user"]),
        lambda: Binary(random.randbytes(random.randrange(20)), random.choice([0, 2, 3, 4, 5, 6, 128])),
        lambda: random.choice([None, True, False, MinKey(), MaxKey(), ObjectId(), Timestamp(2**32 - 1, 2**32 - 1)]),
        lambda: random.choice([Regex("(" * 50, 0), Regex("a", 255), Code("x", {"a": 1}), DBRef("a", 5, "b")]),
        lambda: {"$ref": 5, "$id": {}, "$db": []},
    ]
    if depth < 40:
        makers += [
            lambda: {random.choice(FIELDS): _value(random, depth + 1)},
            lambda: [_value(random, depth + 1) for _ in range(random.randrange(4))],
        ]
    return random.choice(makers)()


def huge(name: str, size: int) -> RawBSONDocument:
    """A rule with an `updated_by` of this many bytes."""
    return RawBSONDocument(bson.encode({"_id": name} | RULE | {"updated_by": "x" * size}))


def without_utf8(name: str, field: str) -> RawBSONDocument:
    """A rule with a text field that is not UTF-8."""
    content = bson.encode({"_id": name} | RULE | {field: "????"})
    assert content.count(struct.pack("<i", 5) + b"????\x00") == 1
    return RawBSONDocument(content.replace(b"????", b"\xff\xfe\xc0\x80"))
