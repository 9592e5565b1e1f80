"""Every setting, read from the environment (`PENSTOCK_*`) and validated before anything starts."""

import base64
import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    DirectoryPath,
    Field,
    FilePath,
    HttpUrl,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import StartupError

ASYMMETRIC_ALGORITHMS = frozenset(
    {"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"}
)

_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([1-9][0-9]{0,4})")
_TOPIC = r"^[A-Za-z0-9._-]{1,249}$"
_ENVELOPE_KEY = re.compile(r"([A-Za-z0-9_-]{1,32}):([A-Za-z0-9_-]{43})=?")

CommaSeparated = NoDecode  # lists are written `a,b`, not as JSON


class Settings(BaseSettings):
    """All settings of all processes; the README lists them."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", extra="ignore", frozen=True)

    # Stores
    mongodb_url: str = "mongodb://127.0.0.1:27017/?replicaSet=rs0"
    mongodb_database: str = Field("penstock", pattern=r"^[A-Za-z0-9_-]{1,63}$")
    cache_redis_url: str = "redis://127.0.0.1:6379/0"
    queue_redis_url: str = "redis://127.0.0.1:6380/0"
    queue_partitions: int = Field(1, ge=1, le=4096)

    envelope_keys: Annotated[dict[str, bytes], CommaSeparated] = Field(default_factory=dict, repr=False)
    queue_check: Literal["require", "warn"] = "require"
    queue_folder: DirectoryPath | None = None
    queue_min_free_bytes: int = Field(256 << 20, ge=0)
    queue_max_jobs: int = Field(0, ge=0)
    queue_max_bytes: int = Field(0, ge=0)
    queue_max_memory: float = Field(0.8, gt=0, le=0.95)

    # Kafka before the flows
    queue: Literal["redis", "kafka"] = "redis"
    kafka_bootstrap: Annotated[tuple[str, ...], CommaSeparated, Field(validate_default=True)] = ()
    kafka_topic: str = Field("penstock-jobs", pattern=_TOPIC)
    kafka_dead_letter_topic: str = Field("penstock-dead-letters", pattern=_TOPIC)
    kafka_group: str = Field("penstock-intake", min_length=1, max_length=249)
    kafka_partitions: int = Field(6, ge=1, le=10_000)
    kafka_replication: int = Field(1, ge=1, le=32)
    kafka_retention_hours: float = Field(168.0, gt=24)
    kafka_timeout_ms: float = Field(3000.0, gt=0)
    kafka_window: int = Field(1000, ge=2, le=100_000)
    kafka_held_bytes: int = Field(256 << 20, ge=1)
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    kafka_username: str | None = None
    kafka_password: Annotated[str | None, Field(validate_default=True, repr=False)] = None
    kafka_ca_file: FilePath | None = None
    kafka_cert_file: FilePath | None = None
    kafka_key_file: FilePath | None = None

    # Who
    auth: Literal["optional", "required"] = "optional"
    jwks_url: HttpUrl | None = None
    jwks_refresh_s: float = Field(300.0, gt=0)
    jwt_issuer: str | None = None
    jwt_audience: str = "penstock"
    jwt_algorithms: Annotated[tuple[str, ...], CommaSeparated] = ("ES256", "RS256", "EdDSA")
    jwt_leeway_s: int = Field(30, ge=0, le=30)
    admin_audience: str = "penstock-admin"
    admin_role_claim: str = "penstock_role"
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], CommaSeparated] = ()
    bad_tokens_per_minute: int = Field(60, ge=1)

    identity_key_file: Path | None = None

    # Rules
    no_rule: Literal["allow", "deny"] = "allow"
    rules_unavailable: Literal["closed", "open"] = "closed"
    rule_cache_size: int = Field(50_000, ge=100)
    sync_full_interval_s: float = Field(60.0, gt=0)

    # The way of a request
    public_url: HttpUrl | None = None
    upstreams: Annotated[tuple[HttpUrl, ...], CommaSeparated] = ()
    upstream_connect_timeout_s: float = Field(5.0, gt=0)
    upstream_read_timeout_s: float = Field(60.0, gt=0)
    upstream_keep_alive_s: float = Field(30.0, gt=0)
    upstream_idle_connections: int = Field(256, ge=0)
    upstream_ca_file: FilePath | None = None
    counters_timeout_ms: float = Field(25.0, gt=0)
    cache_timeout_ms: float = Field(1000.0, gt=0)
    queue_timeout_ms: float = Field(3000.0, gt=0)
    max_deferred_body_bytes: int = Field(1 << 20, ge=0)
    max_stored_response_bytes: int = Field(1 << 20, ge=0)
    poll_limit_per_s: float = Field(50.0, gt=0)

    # Clients
    max_connections: int = Field(10_000, ge=1)
    max_header_bytes: int = Field(32 << 10, ge=1024)
    max_headers: int = Field(100, ge=10)
    max_body_bytes: int = Field(0, ge=0)
    header_timeout_s: float = Field(10.0, gt=0)
    stall_timeout_s: float = Field(30.0, gt=0)
    min_bytes_per_s: int = Field(100, ge=0)
    keep_alive_s: float = Field(75.0, gt=0)

    # Workers
    max_in_flight: int = Field(256, ge=1)
    horizon_ms: float = Field(50.0, gt=0, le=1000)
    slot_lead_ms: float = Field(5.0, ge=0, le=1000)
    slot_grace_ms: float = Field(20.0, gt=0, le=1000)
    flow_lease_ms: float = Field(200.0, ge=50)
    lease_s: float = Field(30.0, gt=0)
    reclaim_interval_s: float = Field(5.0, gt=0)
    finish_within_s: float = Field(20.0, ge=0)
    retry_base_s: float = Field(1.0, gt=0)
    retry_max_s: float = Field(60.0, gt=0)

    # Operators
    admin_url: HttpUrl | None = None
    admin_token: str | None = None
    data_dir: Path = Path(".penstock")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("envelope_keys", mode="before")
    @classmethod
    def _named_keys(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        keys: dict[str, bytes] = {}
        for part in filter(None, (part.strip() for part in value.split(","))):
            match = _ENVELOPE_KEY.fullmatch(part)
            if match is None:
                raise ValueError("write name:key, where key is 32 bytes in base64url, 43 characters")
            keys[match[1]] = base64.urlsafe_b64decode(match[2] + "=")
        return keys

    @field_validator("kafka_bootstrap")
    @classmethod
    def _brokers(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not value and info.data.get("queue") == "kafka":
            raise ValueError("PENSTOCK_QUEUE=kafka needs at least one broker, host:port")
        for broker in value:
            match = _HOST_PORT.fullmatch(broker)
            if match is None or int(match[2]) > 65_535:
                raise ValueError(f"{broker!r} is not host:port")
        return value

    @field_validator("kafka_dead_letter_topic")
    @classmethod
    def _another_topic(cls, value: str, info: ValidationInfo) -> str:
        if value == info.data.get("kafka_topic"):
            raise ValueError("must be another than PENSTOCK_KAFKA_TOPIC")
        return value

    @field_validator("kafka_password")
    @classmethod
    def _with_sasl(cls, value: str | None, info: ValidationInfo) -> str | None:
        if str(info.data.get("kafka_security")).startswith("SASL") and not (value and info.data.get("kafka_username")):
            raise ValueError("PENSTOCK_KAFKA_SECURITY with SASL needs PENSTOCK_KAFKA_USERNAME and a password")
        return value

    @field_validator("jwt_algorithms", "trusted_proxies", "upstreams", "kafka_bootstrap", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("upstreams")
    @classmethod
    def _only_a_path(cls, value: tuple[HttpUrl, ...]) -> tuple[HttpUrl, ...]:
        if any(url.username or url.password or url.query or url.fragment for url in value):
            raise ValueError("an app server's address has no user, query or fragment")
        return value

    @field_validator("jwt_algorithms")
    @classmethod
    def _only_asymmetric(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not set(value) <= ASYMMETRIC_ALGORITHMS:
            raise ValueError(f"allowed are {', '.join(sorted(ASYMMETRIC_ALGORITHMS))}")
        return value


def load_settings(**given: str) -> Settings:
    """Read the environment, but for what is given; raises StartupError naming the first variable that is wrong."""
    try:
        return Settings(**given)  # type: ignore[arg-type]  # they are validated
    except ValidationError as error:
        first = error.errors()[0]
        name = "PENSTOCK_" + "_".join(str(part) for part in first["loc"][:1]).upper()
        raise StartupError(f"{name}: {first['msg']}") from error
