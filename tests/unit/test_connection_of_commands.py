"""Which admin API a command talks to, and whose token it sends there."""

from pathlib import Path

import pytest

from app.commands.connection import Connection, find_connection
from app.commands.installation import Installation
from app.errors import InvalidInput, NotRunning, StartupError
from app.local.runtime import RunningProcess, write_runtime
from app.settings import load_settings
from tests.support.command_line import ran

PROD, ELSEWHERE = "https://prod.example:8081", "http://elsewhere.example:8081"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without environment variables, with two profiles, and with an installation that runs in `data`."""
    for name in ("ADMIN_URL", "ADMIN_TOKEN", "ADMIN_TOKEN_FILE", "PROFILE", "DATA_DIR"):
        monkeypatch.delenv(f"PENSTOCK_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "penstock"
    (tmp_path / "data").mkdir()
    folder.mkdir()
    write_runtime(tmp_path / "data", [RunningProcess("admin", 0, 1, 8081, "http://127.0.0.1:8081", None)])
    secret(folder / "prod.token", "of-prod")
    secret(tmp_path / "given.token", "of-the-options")
    write_profiles(
        folder / "config.toml",
        f'[profiles.prod]\nurl = "{PROD}/"\ntoken_file = "prod.token"\n'
        f'[profiles.bare]\nurl = "{PROD}"\n[profiles.local]\ndata_dir = "{tmp_path}/data"\n[profiles.empty]\n',
    )
    return tmp_path


def secret(file: Path, text: str, mode: int = 0o600) -> None:
    file.write_text(text + "\n")
    file.chmod(mode)


def write_profiles(file: Path, text: str, mode: int = 0o600) -> None:
    file.write_text(text)
    file.chmod(mode)


def found(**options: object) -> Connection:
    return find_connection(Installation(**options), load_settings())  # type: ignore[arg-type]  # tests name options


def reached(**options: object) -> tuple[str, str]:
    connection = found(**options)
    return connection.url, connection.token()


def test_a_profile_says_where_and_with_which_token() -> None:
    assert reached(profile="prod") == (PROD, "of-prod")
    assert found(profile="local").url == "http://127.0.0.1:8081"


def test_what_is_nearer_to_the_command_wins(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("PENSTOCK_PROFILE", "prod")
    assert reached() == (PROD, "of-prod")
    monkeypatch.setenv("PENSTOCK_ADMIN_URL", ELSEWHERE)
    monkeypatch.setenv("PENSTOCK_ADMIN_TOKEN_FILE", str(home / "given.token"))
    assert reached() == (ELSEWHERE, "of-the-options")
    monkeypatch.setenv("PENSTOCK_ADMIN_TOKEN", "of-the-environment")
    assert reached() == (ELSEWHERE, "of-the-environment")
    assert reached(profile="prod") == (PROD, "of-prod")
    assert reached(profile="prod", token_file=home / "given.token") == (PROD, "of-the-options")
    assert reached(url="http://third.example/", token="t", profile="prod") == ("http://third.example", "t")


def test_a_token_of_a_profile_goes_to_no_other_installation(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("PENSTOCK_PROFILE", "prod")
    monkeypatch.setenv("PENSTOCK_ADMIN_TOKEN", "of-the-environment")
    assert reached(url=ELSEWHERE, profile="prod") == (ELSEWHERE, "of-the-environment")
    assert reached(profile="bare") == (PROD, "of-the-environment")
    monkeypatch.delenv("PENSTOCK_ADMIN_TOKEN")
    with pytest.raises(StartupError, match="the profile bare has no `token_file`"):
        found(profile="bare")
    with pytest.raises(StartupError, match="no development issuer in"):
        found(url=ELSEWHERE, data_dir=home).token()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_token_that_others_can_use_is_refused(home: Path, mode: int) -> None:
    secret(home / "penstock" / "prod.token", "of-prod", mode)
    with pytest.raises(StartupError, match=r"prod\.token: others can use this file: run `chmod 600 "):
        found(profile="prod")
    with pytest.raises(StartupError, match="others can use this file"):
        found(url=PROD, token_file=home / "penstock" / "prod.token")


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_profiles_that_others_can_write_are_refused(home: Path, mode: int) -> None:
    (home / "penstock" / "config.toml").chmod(mode)
    with pytest.raises(StartupError, match=r"config\.toml: others can write this file"):
        found(profile="prod")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[profiles.other]\n", r"no profile prod: .*config\.toml has other"),
        ("", r"no profile prod: .*config\.toml has none"),
        ("[profiles.prod]\nurls = 1\n", r"profiles\.prod\.urls: is not a known field"),
        ('[profiles.prod]\nurl = "ftp://x"\n', r"profiles\.prod\.url: .*'http' or 'https'"),
        ("[profiles.prod]\n", "the profile prod has neither `url` nor `data_dir`"),
        ('[profiles.prod]\ntoken_file = "missing"\nurl = "http://x"\n', r"missing: No such file"),
        ("profiles = 1\n", "profiles: Input should be a valid dictionary"),
        ("[profiles.prod\n", r"config\.toml: Expected"),
        ("a = " + "[" * 5000, r"config\.toml: "),
    ],
    ids=range(9),
)
def test_what_is_wrong_with_a_profile_is_said_in_one_line(home: Path, text: str, problem: str) -> None:
    write_profiles(home / "penstock" / "config.toml", text)
    with pytest.raises(StartupError, match=problem) as raised:
        found(profile="prod")
    assert "\n" not in str(raised.value)


def test_wrong_options_are_wrong_usage(home: Path) -> None:
    with pytest.raises(InvalidInput, match="--url: "):
        found(url="no url", token="t")
    with pytest.raises(InvalidInput, match="--token: this is not a token"):
        found(url=PROD, token="a b")
    secret(home / "given.token", "two\nlines")
    with pytest.raises(StartupError, match=r"given\.token: this is not a token"):
        found(url=PROD, token_file=home / "given.token")
    with pytest.raises(NotRunning):
        found(data_dir=home)


def test_each_command_of_operators_has_the_options(home: Path) -> None:
    (home / "penstock" / "prod.token").chmod(0o644)
    for command in (["rules", "list"], ["drain", "pause", "r"], ["explain"], ["dead-letters", "list"]):
        code, _, errors = ran(*command, "--profile", "prod")
        assert (code, errors.count("\n")) == (1, 1), errors
        assert "others can use this file" in errors
        code, _, errors = ran(*command, "--url", "http://127.0.0.1:1", "--token", "t")
        assert code == 3, errors
