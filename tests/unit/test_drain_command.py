"""What `penstock drain` asks the admin API for, and what it refuses."""

import pytest

from app.queue.flow_name import flow_id
from tests.support.command_line import ran
from tests.support.fake_admin import FakeAdmin

ALICE = f"/v1/flows/{flow_id('r|user:alice')}"


@pytest.mark.parametrize(
    ("options", "target", "printed"),
    [
        (["set", "r", "5/s"], "PUT /v1/rules/r/drain", "r: drains at 5/s"),
        (["set", "r", "5/s", "--for", "10m"], "PUT /v1/rules/r/drain?for_seconds=600", "r: drains at 5/s for 10m"),
        (["set", "r", "5/s", "--for", "user:alice"], f"PUT {ALICE}/rate", "r, user:alice: drains at 5/s"),
        (["set", "r", "5/s", "--descriptor", "user:alice"], f"PUT {ALICE}/rate", "r, user:alice: drains at 5/s"),
        (
            ["set", "r", "5/s", "--for", "user:alice", "--for", "10m"],
            f"PUT {ALICE}/rate?for_seconds=600",
            "r, user:alice: drains at 5/s for 10m",
        ),
        (
            ["pause", "r", "--for", "2m", "--for", "user:alice"],
            f"POST {ALICE}/pause?for_seconds=120",
            "r, user:alice: paused for 2m",
        ),
        (["unset", "r"], "DELETE /v1/rules/r/drain", "r: drains from its own budget"),
        (["unset", "r", "--for", "user:alice"], f"DELETE {ALICE}/rate", "r, user:alice: drains as its rule says"),
        (["pause", "r", "--for", "2h"], "POST /v1/rules/r/drain/pause?for_seconds=7200", "r: paused for 2h"),
        (["pause", "r", "--for", "user:alice"], f"POST {ALICE}/pause", "r, user:alice: paused"),
        (["resume", "r", "--for", "user:alice"], f"POST {ALICE}/resume", "r, user:alice: resumed"),
        (["resume", "r", "--descriptor", "user:alice"], f"POST {ALICE}/resume", "r, user:alice: resumed"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_a_time_and_a_caller_are_told_apart(
    fake_admin: FakeAdmin,
    options: list[str],
    target: str,
    printed: str,
) -> None:
    fake_admin.targets.clear()
    assert ran("drain", *options) == (0, printed + "\n", "")
    assert fake_admin.targets == [target]


@pytest.mark.parametrize(
    "descriptor",
    ["ip:192.0.2.1", "ip:2001:db8::/64", "claim:plan:free", "claim:plan:", "header:x-key:k", "user:a&claim:tenant:b"],
)
def test_every_descriptor_is_known(fake_admin: FakeAdmin, descriptor: str) -> None:
    fake_admin.targets.clear()
    assert ran("drain", "pause", "r", "--for", descriptor)[0] == 0
    assert fake_admin.targets == [f"POST /v1/flows/{flow_id('r|' + descriptor)}/pause"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--for", "soon"], "'soon' is neither a duration such as 10m nor a descriptor such as user:alice"),
        (["--for", "10"], "'10' is neither a duration"),
        (["--for", ""], "'' is neither a duration"),
        (["--for", "0m"], "'0m' is not a duration"),
        (["--for", "nobody:x"], "'nobody:x' is not a descriptor: write it as `penstock flows list` does"),
        (["--for", "claim:plan"], "'claim:plan' is not a descriptor"),
        (["--for", "user:"], "'user:' is not a descriptor"),
        (["--for", "user:a b"], "'user:a b' is not a descriptor"),
        (["--for", "user:a&b"], "'user:a&b' is not a descriptor"),
        (["--for", "user:a;r|user:b"], "is not a descriptor"),
        (["--for", "10m", "--for", "5m"], "give one duration and one descriptor at most"),
        (["--for", "user:a", "--for", "user:b"], "give one duration and one descriptor at most"),
        (["--for", "user:a", "--descriptor", "user:a"], "give one duration and one descriptor at most"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
@pytest.mark.parametrize("command", [["set", "r", "5/s"], ["pause", "r"]], ids=" ".join)
def test_what_is_neither_is_a_wrong_command_line(
    fake_admin: FakeAdmin,
    command: list[str],
    options: list[str],
    problem: str,
) -> None:
    fake_admin.targets.clear()
    code, out, errors = ran("drain", *command, *options)
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert problem in errors
    assert fake_admin.targets == []


def test_all_jobs_of_a_rule_are_canceled_by_an_operation(fake_admin: FakeAdmin) -> None:
    fake_admin.targets.clear()
    assert ran("drain", "purge", "r", "--rate", "5000")[0] == 0
    assert fake_admin.targets == ["POST /v1/operations"]


@pytest.mark.usefixtures("fake_admin")
@pytest.mark.parametrize("command", ["unset", "resume"])
def test_what_has_no_end_takes_no_duration(command: str) -> None:
    code, _, errors = ran("drain", command, "r", "--for", "10m")
    assert (code, errors) == (2, "penstock: --for: a duration is for `drain set` and `drain pause` only\n")
