"""The Kafka settings are validated before anything starts."""

import pytest

from app.errors import StartupError
from app.settings import load_settings


def test_brokers_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_QUEUE", "kafka")
    monkeypatch.setenv("PENSTOCK_KAFKA_BOOTSTRAP", "a.example:9092, [::1]:9093")
    assert load_settings().kafka_bootstrap == ("a.example:9092", "[::1]:9093")


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"QUEUE": "kafka"}, "KAFKA_BOOTSTRAP: .*needs at least one broker"),
        ({"QUEUE": "rabbit"}, "QUEUE: "),
        ({"KAFKA_BOOTSTRAP": "broker"}, "KAFKA_BOOTSTRAP: .*is not host:port"),
        ({"KAFKA_BOOTSTRAP": "broker:70000"}, "KAFKA_BOOTSTRAP: .*is not host:port"),
        ({"KAFKA_TOPIC": "a b"}, "KAFKA_TOPIC: "),
        ({"KAFKA_TOPIC": "t", "KAFKA_DEAD_LETTER_TOPIC": "t"}, "KAFKA_DEAD_LETTER_TOPIC: .*must differ"),
        ({"KAFKA_RETENTION_HOURS": "24"}, "KAFKA_RETENTION_HOURS: "),
        ({"KAFKA_SECURITY": "SASL_SSL"}, "KAFKA_PASSWORD: .*needs PENSTOCK_KAFKA_USERNAME"),
        ({"KAFKA_CA_FILE": "/nowhere"}, "KAFKA_CA_FILE: "),
    ],
)
def test_an_invalid_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], problem: str
) -> None:
    monkeypatch.delenv("PENSTOCK_KAFKA_BOOTSTRAP", raising=False)  # it may name a broker for other tests
    for name, value in environment.items():
        monkeypatch.setenv(f"PENSTOCK_{name}", value)
    with pytest.raises(StartupError, match=f"PENSTOCK_{problem}"):
        load_settings()


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SECURITY": "SASL_SSL", "USERNAME": "u", "PASSWORD": "secret-word"}.items():
        monkeypatch.setenv(f"PENSTOCK_KAFKA_{name}", value)
    settings = load_settings()
    assert settings.kafka_password == "secret-word"
    assert "secret-word" not in repr(settings)
