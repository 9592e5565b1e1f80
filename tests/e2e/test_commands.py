"""The operator's commands, on a running installation."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pymongo import MongoClient

from tests.support.penstock_up import Up, running
from tests.support.system import PENSTOCK
from tests.support.waiting import wait_for

USER = {"rule_id": "user", "key_type": "user", "key_value": "*", "limit": 3, "window_seconds": 3600}
NET = {"rule_id": "net", "key_type": "ip", "key_value": "127.0.0.0/8", "limit": 1000, "window_seconds": 1}


WITHIN_S = 60.0
"""How long a busy machine may take for what a command has changed."""

pytestmark = pytest.mark.xdist_group("commands")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with running(tmp_path_factory.mktemp("commands") / "data") as up:
        yield up


def rules_file(folder: Path, *rules: dict[str, object]) -> str:
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump({"rules": list(rules)}))
    return str(file)


def rows(table: str) -> dict[str, list[str]]:
    """The rows of a printed table by their first cells."""
    lines = [line.strip("│").split("│") for line in table.splitlines() if line.startswith("│")]
    return {cells[0].strip(): [cell.strip() for cell in cells] for cells in lines}


def job_shown(up: Up, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(up.penstock("jobs", "get", job_id, "--json"))
    return found


def limit_of(up: Up, user: str) -> str | None:
    found: str | None = up.get("/x", user).headers.get("RateLimit-Policy")
    return found


def test_apply_shows_the_difference_and_then_makes_it(up: Up, tmp_path: Path) -> None:
    both = rules_file(tmp_path, USER, NET)
    assert up.penstock("rules", "apply", both, "--dry-run") == "user: created\nnet: created\n"
    assert json.loads(up.penstock("rules", "list", "--json"))["rules"] == []
    up.penstock("rules", "apply", both)
    wait_for(lambda: limit_of(up, "a") == '"user";q=3;w=3600, "net";q=1000;w=1', WITHIN_S)
    changed = rules_file(tmp_path, USER | {"limit": 4, "burst": 2}, NET)
    assert up.penstock("rules", "apply", changed).splitlines() == [
        "user: changed",
        "  limit: 3 -> 4",
        "  burst: (default) -> 2",
        "net: unchanged",
    ]
    only = rules_file(tmp_path, USER)
    assert "net: deleted" in up.penstock("rules", "apply", only, "--prune", "--dry-run")
    up.penstock("rules", "apply", only, "--prune")
    wait_for(lambda: limit_of(up, "b") == '"user";q=3;w=3600', WITHIN_S)
    assert [rule["rule_id"] for rule in json.loads(up.penstock("rules", "list", "--json"))["rules"]] == ["user"]
    history = up.penstock("rules", "history", "user").splitlines()
    assert sum("version" in line for line in history) == 3
    assert history[0].split("  ")[1].startswith("version 3 by cli:")
    assert any("limit: 4 -> 3" in line for line in history)
    assert "deleted" in up.penstock("rules", "history", "net").splitlines()[0]


def test_explain(up: Up, tmp_path: Path) -> None:
    up.penstock("rules", "apply", rules_file(tmp_path, USER))
    wait_for(lambda: limit_of(up, "c") is not None, WITHIN_S)
    asked = ("explain", "--user", "nobody-yet", "--ip", "10.0.0.1", "--method", "POST", "/path", "--json")
    for _ in range(2):
        answer = json.loads(up.penstock(*asked))
        assert (answer["decision"], answer["rules"][0]["remaining"]) == ("forward", 3)
    assert "decision: forward" in up.penstock("explain", "--user", "nobody-yet")
    for _ in range(3):
        assert up.get("/x", "spent").status_code == 200
    assert "decision: reject (by user)" in up.penstock("explain", "--user", "spent")


def test_every_limit_of_a_rule_is_shown(up: Up, tmp_path: Path) -> None:
    several = USER | {"limit": 9, "window_seconds": 1, "limits": [{"limit": 1000, "window_seconds": 86_400}]}
    at_once = {"rule_id": "at-once", "key_type": "ip", "key_value": "*", "concurrency": 4, "on_limit": "defer"}
    up.penstock("rules", "apply", rules_file(tmp_path, several | {"concurrency": 2}, at_once))
    wait_for(lambda: '"at-once:concurrency";q=4' in (limit_of(up, "f") or ""), WITHIN_S)
    listed = rows(up.penstock("rules", "list"))
    assert (listed["user"][2], listed["at-once"][2]) == ("9/s, 1000/d, 2 at once", "4 at once")
    explained = up.penstock("explain", "--user", "f")
    shown = {name: cells[2] for name, cells in rows(explained).items()}
    assert shown.items() >= {"user": "9/s", "user:2": "1000/d", "user:concurrency": "2 at once"}.items()
    assert "decision: forward" in explained
    up.penstock("rules", "delete", "at-once")


def test_a_rule_edited_into_nonsense_changes_nothing_and_is_reported(up: Up, tmp_path: Path) -> None:
    """With any MongoDB client; what its validator can't express."""
    up.penstock("rules", "apply", rules_file(tmp_path, USER | {"limit": 5}))
    wait_for(lambda: limit_of(up, "d") == '"user";q=5;w=3600', WITHIN_S)
    (mongodb,) = (process for process in up.runtime()["processes"] if process["role"] == "mongodb")
    (sync,) = (process for process in up.runtime()["processes"] if process["role"] == "sync")
    client: MongoClient[dict[str, object]] = MongoClient(mongodb["url"])
    with client:
        rules = client["penstock"]["rules"]
        rules.update_one({"_id": "user"}, {"$set": {"cost": 50, "limit": 6}})
        wait_for(lambda: "penstock_invalid_rules_total 1.0" in httpx.get(f"{sync['ops_url']}/metrics").text, WITHIN_S)
        assert limit_of(up, "e") == '"user";q=5;w=3600'
        (invalid,) = json.loads(up.penstock("rules", "list", "--json"))["invalid"]
        assert invalid["rule_id"] == "user"
        assert invalid["problem"].startswith("cost: must be at most burst")
        assert "stays in force" in up.penstock("rules", "list")
        assert '"event": "invalid_rule"' in (up.data_dir / "logs" / "sync-0.log").read_text()
        start = time.monotonic()
        rules.update_one({"_id": "user"}, {"$set": {"cost": 1}})
        wait_for(lambda: limit_of(up, "f") == '"user";q=6;w=3600', WITHIN_S)
        print(f"corrected: in force after {time.monotonic() - start:.2f} s, the commands' own time included")


def test_drain_commands(up: Up, tmp_path: Path) -> None:
    up.penstock("rules", "apply", rules_file(tmp_path, USER))
    assert up.penstock("drain", "set", "user", "5/30s") == "user: drains at 5/30s\n"
    assert json.loads(up.penstock("rules", "get", "user"))["drain"] == {"limit": 5, "window_seconds": 30.0}
    up.penstock("drain", "pause", "user")
    assert json.loads(up.penstock("rules", "get", "user"))["paused"] is True
    up.penstock("drain", "resume", "user")
    up.penstock("drain", "unset", "user")
    assert {"paused", "drain"}.isdisjoint(json.loads(up.penstock("rules", "get", "user")))
    for wrong in (["drain", "set", "user", "fast"], ["drain", "pause", "none"], ["rules", "get", "none"]):
        with pytest.raises(subprocess.CalledProcessError) as failure:
            up.penstock(*wrong)
        assert len(failure.value.stderr.strip().splitlines()) == 1


def test_what_is_set_for_one_flow_is_named_by_for(up: Up, tmp_path: Path) -> None:
    up.penstock("rules", "apply", rules_file(tmp_path, USER))
    assert up.penstock("drain", "set", "user", "5/s", "--for", "user:t1") == "user, user:t1: drains at 5/s\n"
    assert up.penstock("drain", "pause", "user", "--for", "user:t1") == "user, user:t1: paused\n"
    assert "drain" not in json.loads(up.penstock("rules", "get", "user"))
    (setting,) = json.loads(up.penstock("flows", "settings", "--json"))["settings"]
    assert (setting["descriptor"], setting["paused"], setting["rate"]["limit"]) == ("user:t1", True, 5)
    up.penstock("drain", "resume", "user", "--for", "user:t1")
    assert up.penstock("drain", "unset", "user", "--for", "user:t1") == "user, user:t1: drains as its rule says\n"
    assert json.loads(up.penstock("flows", "settings", "--json"))["settings"] == []


def test_a_link_signs_in_to_the_dashboard_once(up: Up) -> None:
    address, _, ticket = up.penstock("dashboard").strip().partition("/sign-in#ticket=")
    url, body = f"{address}/v1/sign-in/ticket", {"ticket": ticket}
    session = httpx.post(url, json=body).json()
    operator = httpx.get(f"{address}/v1/operator", headers={"Authorization": f"Bearer {session['token']}"}).json()
    assert operator["role"] == "admin"
    left = datetime.fromisoformat(session["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=7) < left <= timedelta(hours=8), "a working day, not the minutes of a command"
    assert httpx.post(url, json=body).status_code == 401


def test_what_was_set_for_a_while_ends_though_everything_that_set_it_was_killed(up: Up, tmp_path: Path) -> None:
    up.penstock("rules", "apply", rules_file(tmp_path, USER))
    assert up.penstock("drain", "set", "user", "5/30s", "--for", "4s") == "user: drains at 5/30s for 4s\n"
    (admin,) = (process for process in up.runtime()["processes"] if process["role"] == "admin")
    os.kill(admin["pid"], signal.SIGKILL)
    set_rule = json.loads(_once_it_answers(up, "rules", "get", "user"))
    (temporary,) = set_rule.get("temporary") or [{"until": set_rule["updated_at"]}]
    wait_for(lambda: "drain" not in json.loads(_once_it_answers(up, "rules", "get", "user")), WITHIN_S)
    (reverted,) = json.loads(up.penstock("audit", "--action", "rule.reverted", "--target", "user", "--json"))["entries"]
    assert (reverted["actor"], reverted["face"], reverted["after"].get("drain")) == ("penstock", "process", None)
    ended, until = (datetime.fromisoformat(text) for text in (reverted["at"], temporary["until"]))
    assert ended >= until or "temporary" not in set_rule
    up.penstock("drain", "pause", "user", "--for", "10m")
    assert "paused, temporary until " in rows(up.penstock("rules", "list", "--search", "USE"))["user"][6]
    assert rows(up.penstock("rules", "list", "--search", "nothing", "--sort", "-priority")) == {}
    assert json.loads(up.penstock("drain", "resume", "user", "--json")).get("temporary") is None


def _once_it_answers(up: Up, *arguments: str) -> str:
    """The output of a command, which fails while the admin process starts again."""
    until_s = time.monotonic() + WITHIN_S
    while True:
        try:
            return up.penstock(*arguments)
        except subprocess.CalledProcessError:
            assert time.monotonic() < until_s
            time.sleep(0.1)


def test_a_rule_is_edited_but_not_over_what_another_has_changed(
    up: Up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    up.penstock("rules", "apply", rules_file(tmp_path, USER))
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/^limit: .*/limit: 8/" "$1"\n')
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    version = json.loads(up.penstock("rules", "get", "user"))["version"]
    assert up.penstock("rules", "edit", "user") == f"user: changed, as version {version + 1}\n"
    assert up.penstock("rules", "edit", "user") == "user: unchanged\n"
    editor.write_text(
        f'#!/bin/sh\n{PENSTOCK} drain set user 7/s --data-dir {up.data_dir}\nsed -i "s/^limit: .*/limit: 9/" "$1"\n'
    )
    with pytest.raises(subprocess.CalledProcessError) as failure:
        up.penstock("rules", "edit", "user")
    (line,) = failure.value.stderr.strip().splitlines()
    assert "has changed" in line
    kept = Path(line.partition("Your text is in ")[2].rstrip("."))
    assert "limit: 9" in kept.read_text()
    kept.unlink()
    assert "+drain:" in failure.value.stdout
    found = json.loads(up.penstock("rules", "get", "user", "--json"))
    assert (found["limit"], found["drain"]["limit"]) == (8, 7)
    restored = json.loads(up.penstock("rules", "restore", "user", "--version", str(version), "--json"))
    assert (restored["limit"], "drain" in restored) == (3, False)
    outcomes = json.loads(up.penstock("rules", "apply", rules_file(tmp_path, USER), "--json"))["outcomes"]
    assert [(one["rule_id"], one["outcome"]) for one in outcomes] == [("user", "unchanged")]


def test_jobs_are_found_with_all_that_happened_to_them(up: Up, tmp_path: Path) -> None:
    drain = {"limit": 100, "window_seconds": 1}
    rule = {"rule_id": "user", "key_type": "user", "key_value": "*", "limit": 1, "window_seconds": 3600}
    rule |= {"on_limit": "defer", "drain": drain, "queue": {"max_attempts": 2}}
    up.penstock("rules", "apply", rules_file(tmp_path, rule))
    wait_for(lambda: limit_of(up, "jill") == '"user";q=1;w=3600', WITHIN_S)
    job = up.get("/x?status=500", "jill").json()["id"]
    found = json.loads(up.penstock("jobs", "get", job, "--wait", "--json"))
    assert (found["status"], found["attempts"], found["error"]["code"]) == ("failed", 2, "attempts_exhausted")
    assert [event["event"] for event in found["timeline"]] == ["accepted", "attempt", "attempt", "failed"]
    first, second = found["timeline"][1:3]
    assert first["worker"]
    assert (first["response_status"], second["response_status"]) == (500, 500)
    assert found["submitted_at"] <= first["at"] <= first["ended_at"] <= second["at"] <= second["ended_at"]
    assert found["contents"]["request"]["target"] == "/x?status=500"
    assert "attempt 2" in up.penstock("jobs", "get", job)
    up.penstock("drain", "pause", "user")
    waiting = [up.get("/x", "jill").json()["id"] for _ in range(2)]

    def why() -> str:
        return str(json.loads(up.penstock("jobs", "get", waiting[1], "--json"))["wait"]["reason"])

    wait_for(lambda: why() == "paused", WITHIN_S)
    listed = json.loads(up.penstock("jobs", "list", "--user", "jill", "--status", "queued", "--json"))["jobs"]
    assert sorted(each["id"] for each in listed) == sorted(waiting)
    assert [each["status"] for each in listed] == ["queued", "queued"]
    assert rows(up.penstock("jobs", "list", "--descriptor", "user:jill", "--status", "failed")).keys() == {job}
    assert up.penstock("jobs", "cancel", "--descriptor", "user:jill", "--dry-run") == "2 jobs would be canceled\n"
    assert up.penstock("jobs", "cancel", waiting[0]) == f"{waiting[0]}: canceled\n"
    audited = json.loads(up.penstock("audit", "--action", "job.canceled", "--json"))["entries"]
    assert [entry["target"] for entry in audited] == waiting[:1]
    assert up.penstock("jobs", "cancel", "--descriptor", "user:jill") == "1 canceled\n"
    assert up.get(f"/_penstock/jobs/{waiting[1]}", "jill").json()["status"] == "canceled"
    up.penstock("drain", "resume", "user")
    with pytest.raises(subprocess.CalledProcessError) as failure:
        up.penstock("jobs", "cancel", job)
    assert failure.value.stderr == "penstock: The job can't be canceled: it is failed.\n"


def test_dead_letters_and_purge(up: Up, tmp_path: Path) -> None:
    drain = {"limit": 100, "window_seconds": 1}
    rule = {"rule_id": "user", "key_type": "user", "key_value": "*", "limit": 1, "window_seconds": 3600}
    rule |= {"on_limit": "defer", "drain": drain, "queue": {"max_attempts": 1}}
    up.penstock("rules", "apply", rules_file(tmp_path, rule))
    wait_for(lambda: limit_of(up, "g") == '"user";q=1;w=3600', WITHIN_S)
    jobs = [up.get("/x?status=500", "g").json()["id"] for _ in range(3)]

    of_user = ("--rule", "user", "--descriptor", "user:g")  # other tests of this installation have dead letters, too

    def dead() -> list[str]:
        found = json.loads(up.penstock("dead-letters", "list", *of_user, "--json"))
        return [letter["id"] for letter in found["dead_letters"]]

    wait_for(lambda: len(dead()) == 3, WITHIN_S)
    assert "attempts_exhausted" in up.penstock("dead-letters", "list")
    found = json.loads(up.penstock("dead-letters", "get", jobs[0]))
    assert (found["request"]["target"], found["response"]["status"]) == ("/x?status=500", 500)
    up.penstock("drain", "pause", "user")
    assert up.penstock("dead-letters", "replay", jobs[0]) == "1 replayed\n"
    assert sorted(dead()) == sorted(jobs[1:])
    wanted = ("dead-letters", "replay", *of_user, "--response-status", "500", "--failed-after", "1h")
    assert up.penstock(*wanted, "--dry-run") == "2 dead letters would be replayed\n"
    assert up.penstock(*wanted) == "2 replayed\n"
    operation = json.loads(up.penstock("operations", "list", "--json"))["operations"][0]
    assert (operation["state"], operation["done"]) == ("completed", 2)
    assert "done: 2 of 2" in up.penstock("operations", "get", operation["id"])
    assert up.penstock("operations", "get", operation["id"], "--wait") == "2 replayed\n"
    purge = ("drain", "purge", "user")
    assert up.penstock(*purge, "--dry-run") == "3 jobs would be canceled\n"
    assert up.get(f"/_penstock/jobs/{jobs[0]}", "g").json()["status"] == "queued"
    assert up.penstock(*purge, "--rate", "5000") == "3 canceled\n"
    assert up.get(f"/_penstock/jobs/{jobs[0]}", "g").json()["status"] == "canceled"
    of_all = [(event["event"], event["number"]) for event in job_shown(up, jobs[0])["timeline"]]
    assert of_all == [("accepted", None), ("attempt", 1), ("failed", None), ("replayed", None), ("canceled", None)]
    up.penstock("drain", "resume", "user")
    another = up.get("/x?status=500", "g").json()["id"]
    wait_for(lambda: dead() == [another], WITHIN_S)
    assert up.penstock("dead-letters", "replay", another) == "1 replayed\n"
    wait_for(lambda: len(job_shown(up, another)["timeline"]) == 6, WITHIN_S)
    shown = job_shown(up, another)
    assert [(event["event"], event["number"], event["response_status"]) for event in shown["timeline"]] == [
        ("accepted", None, None),
        ("attempt", 1, 500),
        ("failed", None, None),
        ("replayed", None, None),
        ("attempt", 2, 500),
        ("failed", None, 500),
    ]
    assert (shown["attempts"], shown["earlier_attempts"]) == (1, 0)
    printed = up.penstock("jobs", "get", another)
    assert printed.index("attempt 1") < printed.index("replayed") < printed.index("attempt 2")
    assert up.penstock("dead-letters", "delete", another) == f"{another}: deleted\n"
    for wrong in (
        ["dead-letters", "get", another],
        ["dead-letters", "replay", another],
        ["dead-letters", "replay"],
        ["operations", "cancel", operation["id"]],
    ):
        with pytest.raises(subprocess.CalledProcessError) as failure:
            up.penstock(*wrong)
        assert len(failure.value.stderr.strip().splitlines()) == 1
