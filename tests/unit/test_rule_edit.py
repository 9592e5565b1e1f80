"""`penstock rules edit`: what the editor leaves is written only over what the operator has seen."""

import contextlib
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.cli import run_command
from app.commands.rule_edit import difference, rule_text
from app.rules.strict_yaml import parse_yaml

RULE: dict[str, Any] = {
    "rule_id": "r",
    "key_type": "user",
    "key_value": "*",
    "limit": 5,
    "window_seconds": 60.0,
    "schedule": [{"from": "22:00", "to": "06:00", "drain": {"limit": 1, "window_seconds": 1.0}}],
    "version": 3,
    "updated_by": "olga",
}


class RuleServer:
    """Answers with one rule, and accepts or refuses what is put."""

    def __init__(self) -> None:
        self.puts: list[tuple[str | None, dict[str, Any]]] = []
        self.refusals: list[tuple[int, dict[str, Any]]] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(200, RULE, '"3-0123456789abcdef"')

            def do_PUT(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.puts.append((self.headers["If-Match"], body))
                if owner.refusals:
                    self.answer(*owner.refusals.pop(0))
                else:
                    self.answer(200, body | {"version": 4}, '"4-0123456789abcdef"')

            def answer(self, status: int, content: dict[str, Any], etag: str = "") -> None:
                self.send_response(status)
                self.send_header("ETag", etag)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, format: str, *args: object) -> None:
                """A test's output is no log."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RuleServer]:
    server = RuleServer()
    monkeypatch.setenv("PENSTOCK_ADMIN_URL", f"http://127.0.0.1:{server.server.server_port}")
    monkeypatch.setenv("PENSTOCK_ADMIN_TOKEN", "token")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.delenv("VISUAL", raising=False)
    yield server
    server.server.shutdown()
    server.server.server_close()


def edited(monkeypatch: pytest.MonkeyPatch, script: str) -> tuple[int, str, str]:
    """Run the command with an editor that does what `script` says to the file `$0`."""
    monkeypatch.setenv("EDITOR", f"sh -c '{script}'")
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = run_command(["rules", "edit", "r"])
    return code, out.getvalue(), errors.getvalue()


def kept(folder: Path) -> list[Path]:
    return list(folder.glob("penstock-r-*.yaml"))


def test_what_is_edited_is_written_over_what_was_seen(
    server: RuleServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, out, _ = edited(monkeypatch, 'sed -i "s/^limit: 5/limit: 8/" "$0"')
    assert (code, out) == (0, "r: changed, as version 4\n")
    maintained = {"version", "updated_by"}
    wanted = {name: value for name, value in RULE.items() if name not in maintained} | {"limit": 8}
    assert server.puts == [('"3-0123456789abcdef"', wanted)]
    assert kept(tmp_path) == []


def test_what_is_not_changed_is_not_written(
    server: RuleServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert edited(monkeypatch, "true")[:2] == (0, "r: unchanged\n")
    assert edited(monkeypatch, 'echo "# a remark" >> "$0"')[:2] == (0, "r: unchanged\n")
    assert (server.puts, kept(tmp_path)) == ([], [])


def test_what_another_has_changed_is_shown_and_not_written_over(
    server: RuleServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    current = RULE | {"limit": 7, "version": 4, "updated_by": "paul"}
    problem = {"detail": "The rule 'r' has changed.", "current": current, "current_etag": '"4-x"', "based_on": RULE}
    server.refusals.append((412, problem))
    code, out, errors = edited(monkeypatch, 'sed -i "s/^limit: 5/limit: 8/" "$0"')
    (file,) = kept(tmp_path)
    assert (code, errors) == (1, f"penstock: The rule 'r' has changed. Your text is in {file}.\n")
    assert out == difference(RULE, current)
    assert {"-limit: 5", "+limit: 7", "--- version 3, by olga", "+++ version 4, by paul"} <= set(out.splitlines())
    assert "limit: 8" in file.read_text()
    assert len(server.puts) == 1


@pytest.mark.parametrize(("status", "expected"), [(404, 1), (401, 1), (403, 1), (429, 1), (503, 3)])
def test_a_text_that_cannot_be_written_is_kept_whatever_the_reason(
    server: RuleServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, expected: int
) -> None:
    server.refusals.append((status, {"detail": "It is not written."}))
    code, _, errors = edited(monkeypatch, 'sed -i "s/^limit: 5/limit: 8/" "$0"')
    (file,) = kept(tmp_path)
    assert (code, errors.count("\n")) == (expected, 1)
    assert errors.startswith("penstock: It is not written.")
    assert errors.endswith(f". Your text is in {file}.\n")
    assert "limit: 8" in file.read_text()


def test_on_a_terminal_the_operator_edits_again_on_top_of_the_change(
    server: RuleServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    current = RULE | {"priority": 2, "version": 4}
    server.refusals.append((412, {"detail": "It has changed.", "current": current, "current_etag": '"4-x"'}))
    server.refusals.append((422, {"detail": "limit: must be at least 1."}))
    answers = io.StringIO("y\ny\n")
    monkeypatch.setattr(answers, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", answers)
    code, out, _ = edited(monkeypatch, 'echo "burst: 9" > /dev/null; sed -i "s/^limit: \\(.*\\)/limit: 1\\1/" "$0"')
    assert code == 0, out
    assert [(etag, body["limit"]) for etag, body in server.puts] == [
        ('"3-0123456789abcdef"', 15),
        ('"4-x"', 115),
        ('"4-x"', 1115),
    ]
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('echo "limit: [" > "$0"', "penstock: Line 2: "),
        ('echo "- limit" > "$0"', "penstock: The text must be the fields of one rule."),
        ('printf "\\377" > "$0"', "penstock: The text cannot be read: "),
        ("exit 7", "penstock: the editor "),
    ],
)
def test_what_is_no_rule_is_said_in_one_line(
    server: RuleServer, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    code, _, errors = edited(monkeypatch, script)
    assert (code, len(errors.splitlines())) == (1, 1)
    assert errors.startswith(message)
    assert server.puts == []


def test_an_editor_that_is_not_there_is_said(
    server: RuleServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for editor in ("/nowhere/editor", "unclosed 'quote"):
        monkeypatch.setenv("VISUAL", editor)
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            assert run_command(["rules", "edit", "r"]) == 1
        assert kept(tmp_path) == []
        assert errors.getvalue().startswith("penstock: the editor ")
    assert server.puts == []


def test_the_text_of_a_rule_is_read_as_what_it_is() -> None:
    assert parse_yaml(rule_text(RULE)) == {n: v for n, v in RULE.items() if n not in {"version", "updated_by"}}
