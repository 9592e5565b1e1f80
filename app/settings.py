"""Every setting, read from the environment (`PENSTOCK_*`) and validated before anything starts."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import DirectoryPath, Field, FilePath, HttpUrl, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app.errors import StartupError
from app.queue_kind import QueueKind
from app.setting_types import (
    TOPIC,
    Address,
    Algorithms,
    BasePath,
    Brokers,
    EnvelopeKeys,
    HeaderNames,
    Networks,
    Origins,
    Upstreams,
)


class Settings(BaseSettings):
    """All settings of all processes. docs/reference/settings.md is generated from this class."""

    # The texts below the settings stay in the source: to make them descriptions, pydantic would parse this file at each
    # start, for which it takes as long as for the rest of it.
    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", extra="ignore", frozen=True)

    # Stores
    mongodb_url: str = "mongodb://127.0.0.1:27017/?replicaSet=rs0"
    """The rules database. It must be a replica set, because Penstock follows its change stream."""
    mongodb_database: str = Field("penstock", pattern=r"^[A-Za-z0-9_-]{1,63}$")
    """The name of the database."""
    cache_redis_url: str = "redis://127.0.0.1:6379/0"
    """The cache Redis, which holds rules and counters: `redis://`, `rediss://` (TLS) or `unix://`."""
    queue_redis_url: str = "redis://127.0.0.1:6380/0"
    """The queue Redis, which holds flows and jobs. It needs `appendfsync always` and `noeviction`."""
    queue_partitions: int = Field(1, ge=1, le=4096)
    """How many partitions the jobs are spread over. It must be the same in every process and may not change while jobs
    wait.
    """

    envelope_keys: EnvelopeKeys = Field(default_factory=dict, repr=False)
    """Keys that encrypt the requests of rules with `queue.keep_credentials`: `name:key,…`, each key 32 bytes in
    base64url. The first one encrypts, any of them decrypts.
    """
    queue_check: Literal["require", "warn"] = "require"
    """What to do with a queue Redis that may lose acknowledged jobs or is older than 6.2: `require` refuses to start,
    `warn` logs a warning.
    """
    queue_folder: DirectoryPath | None = None
    """The folder of the queue Redis' files, if it is on this machine: then free disk is watched. `penstock up` sets
    it.
    """
    queue_min_free_bytes: int = Field(256 << 20, ge=0)
    """Deferring is answered 503 while `PENSTOCK_QUEUE_FOLDER` has less free disk than this."""
    queue_max_jobs: int = Field(0, ge=0)
    """Deferring is answered 503 while this many jobs are not final. 0 means no limit."""
    queue_max_bytes: int = Field(0, ge=0)
    """Deferring is answered 503 while the requests of jobs that are not final take this many bytes. 0 means no limit.
    It does not apply with Kafka.
    """
    queue_max_memory: float = Field(0.8, gt=0, le=0.95)
    """Deferring is answered 503 while the queue Redis uses more than this fraction of its `maxmemory`; the rest is
    needed to store outcomes.
    """

    # The job queue, and Kafka
    queue: QueueKind = "redis"
    """How jobs reach their flows: `redis` stores the request in the queue Redis, `kafka` sends it through Kafka."""
    kafka_bootstrap: Annotated[Brokers, Field(validate_default=True)] = ()
    """Brokers, `host:port,…`. Required with `PENSTOCK_QUEUE=kafka`; `penstock up` starts a broker if it is not set."""
    kafka_topic: str = Field("penstock-jobs", pattern=TOPIC)
    """The topic of jobs."""
    kafka_dead_letter_topic: str = Field("penstock-dead-letters", pattern=TOPIC)
    """The topic of failed jobs and of messages that cannot be handled."""
    kafka_group: str = Field("penstock-intake", min_length=1, max_length=249)
    """The consumer group of the intake."""
    kafka_partitions: int = Field(6, ge=1, le=10_000)
    """Partitions of the topics, when Penstock creates them."""
    kafka_replication: int = Field(1, ge=1, le=32)
    """Replicas of the topics, when Penstock creates them. Use 3 in production."""
    kafka_retention_hours: float = Field(168.0, gt=24)
    """How long the topics keep messages, when Penstock creates them. It must exceed every rule's `max_wait_seconds` by
    a day.
    """
    kafka_timeout_ms: float = Field(3000.0, gt=0)
    """How long to wait for Kafka to acknowledge a message."""
    kafka_window: int = Field(1000, ge=2, le=100_000)
    """How many requests of one flow the queue Redis holds; the others stay on Kafka until there is room."""
    kafka_held_bytes: int = Field(256 << 20, ge=1)
    """How many bytes of requests the queue Redis holds altogether; the others stay on Kafka until there is room."""
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """The security protocol of the brokers."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """The SASL mechanism, with a `SASL_` protocol."""
    kafka_username: str | None = None
    """The user, with a `SASL_` protocol."""
    kafka_password: Annotated[str | None, Field(validate_default=True, repr=False)] = None
    """The password, with a `SASL_` protocol."""
    kafka_ca_file: FilePath | None = None
    """Certificates (PEM) of the authorities to trust. Default: the system's."""
    kafka_cert_file: FilePath | None = None
    """The client certificate (PEM), where the brokers ask for one."""
    kafka_key_file: FilePath | None = None
    """The key (PEM) of the client certificate."""

    # Identity
    auth: Literal["optional", "required", "passthrough"] = "optional"
    """`optional`: requests without a token are served and counted by address. `required`: they are answered 401.
    `passthrough`: as `optional`, and a bearer token that is no JWT, or a JWT of another issuer, is forwarded as it
    came; its caller is anonymous. In each case a bad token of `PENSTOCK_JWT_ISSUER` is answered 401.
    """
    jwks_url: HttpUrl | None = None
    """Where your issuer publishes its keys. `penstock up` starts the development issuer if it is not set."""
    jwks_refresh_s: float = Field(300.0, gt=0)
    """How often the issuer's keys are fetched. A key that the issuer withdraws is trusted at most this long, and 10 s,
    while the issuer can be reached.
    """
    jwt_issuer: str | None = None
    """The `iss` that tokens must have."""
    jwt_audience: str = "penstock"
    """The `aud` that tokens of clients must have."""
    jwt_algorithms: Algorithms = ("ES256", "RS256", "EdDSA")
    """Signature algorithms that are accepted, separated by commas; asymmetric ones only."""
    jwt_leeway_s: int = Field(30, ge=0, le=30)
    """How far the clocks of issuer and edges may differ."""
    admin_audience: str = "penstock-admin"
    """The `aud` that tokens of operators must have."""
    admin_role_claim: str = "penstock_role"
    """The claim that holds an operator's role: `viewer`, `operator` or `admin`."""
    trusted_proxies: Networks = ()
    """Networks of your load balancers, separated by commas. `X-Forwarded-*` and `Forwarded` are believed from these
    only.
    """
    bad_tokens_per_minute: int = Field(60, ge=1)
    """An address that sends more invalid tokens than this in a minute is answered 429 before its next token is
    checked.
    """

    identity: Literal["required", "off"] = "required"
    """`required`: edges and workers refuse to start without `PENSTOCK_IDENTITY_KEY_FILE`. `off`: app servers get no
    `Penstock-Identity`, so they cannot tell who calls.
    """
    identity_key_file: Path | None = None
    """PEM file of the Ed25519 key that signs `Penstock-Identity`; further keys in it are published too. All edges and
    workers need the same file. `penstock keygen` makes one, and `penstock up` does so itself.
    """

    # Rules
    key_headers: HeaderNames = ()
    """The headers by which rules may count (`key_type: header:<name>`), separated by commas. Clients choose their
    values freely, unless app servers or a gateway check them. Sync, edges and the admin API need the same list.
    """
    key_secret: Annotated[str | None, Field(min_length=32, repr=False)] = None
    """The key, at least 32 characters, under which the values of secret headers are hashed. Edges and the admin API
    need the same one. With another key, rules for the value of a secret header must be written again.
    """
    no_rule: Literal["allow", "deny"] = "allow"
    """What happens to a request to which no rule applies: `allow` forwards it, `deny` answers 403. The admin API needs
    it too, to explain decisions.
    """
    rules_unavailable: Literal["closed", "open"] = "closed"
    """What an edge does while it has never seen the rules: `closed` answers 503, `open` forwards without limits."""
    rule_cache_size: int = Field(50_000, ge=100)
    """How many keys (users, addresses, claims) an edge or worker keeps rules for in memory."""
    sync_full_interval_s: float = Field(60.0, gt=0)
    """How often sync compares everything, beside following the change stream."""
    history_days: int = Field(365, ge=1, le=36_500)
    """How many days the history of rules is kept."""
    history_versions: int = Field(1000, ge=1, le=1_000_000)
    """How many versions of each rule the history keeps."""
    audit_days: int = Field(365, ge=1, le=3650)
    """How many days the audit is kept: who changed what, from what to what."""

    # Requests
    public_url: HttpUrl | None = None
    """What the addresses of jobs begin with. Default: scheme and host of the request."""
    cors_origins: Origins = ()
    """Origins whose pages may read Penstock's own answers, such as a 429: `https://app.example,…`, or `*` for all."""
    upstreams: Upstreams = ()
    """The app servers, separated by commas: `http` or `https` addresses, with a base path if needed. HTTPS
    certificates are always verified.
    """
    upstream_connect_timeout_s: float = Field(5.0, gt=0)
    """How long a connection to an app server may take."""
    upstream_read_timeout_s: float = Field(60.0, gt=0)
    """How long an app server may take to begin its answer, and between two parts of it."""
    upstream_keep_alive_s: float = Field(30.0, gt=0)
    """How long an unused connection to an app server is kept; never longer than its `Keep-Alive: timeout`."""
    upstream_idle_connections: int = Field(256, ge=0)
    """How many unused connections to each app server are kept."""
    upstream_ca_file: FilePath | None = None
    """Certificates (PEM) of authorities to trust for app servers, beside the system's."""
    counters_timeout_ms: float = Field(25.0, gt=0)
    """How long a decision waits for the counters; then each rule's `on_store_failure` decides."""
    rules_timeout_ms: float = Field(1000.0, gt=0)
    """How long a caller's first request waits for the rules to be read. Later ones find them in memory; where they must
    be read again, the last known ones stay in force after `PENSTOCK_COUNTERS_TIMEOUT_MS`.
    """
    cache_timeout_ms: float = Field(1000.0, gt=0)
    """How long any other call to the cache Redis may take."""
    queue_timeout_ms: float = Field(3000.0, gt=0)
    """How long a call to the queue Redis may take."""
    max_deferred_body_bytes: int = Field(1 << 20, ge=0)
    """A request with a larger body is not deferred but answered 413."""
    max_stored_response_bytes: int = Field(1 << 20, ge=0)
    """A larger answer of an app server is not kept for the client; the job still ends `succeeded`."""
    poll_limit_per_s: float = Field(50.0, gt=0)
    """Requests a second to `/_penstock/jobs` and `/_penstock/limits`, and repeats of requests with an `Idempotency-Key`
    that is known, that each caller may make to each edge.
    """

    # Clients
    max_connections: int = Field(10_000, ge=1)
    """Connections to a process, at most as many as it may have open files. Further ones are answered 503."""
    max_header_bytes: int = Field(32 << 10, ge=1024)
    """Bytes of a request's target, headers and trailers together; a larger head is answered 414 or 431."""
    max_headers: int = Field(100, ge=10)
    """Header lines of a request; more are answered 431."""
    max_body_bytes: int = Field(100 << 20, ge=0)
    """Bytes of a request body; a larger one is answered 413. 0 means no limit."""
    header_timeout_s: float = Field(10.0, gt=0)
    """How long a client may take to send a request's head; then it is answered 408."""
    stall_timeout_s: float = Field(30.0, gt=0)
    """How long a client may be slower than `PENSTOCK_MIN_BYTES_PER_S` before its connection is closed."""
    min_bytes_per_s: int = Field(100, ge=0)
    """The slowest rate at which a client may send a body or take an answer."""
    keep_alive_s: float = Field(75.0, gt=0)
    """How long a connection of a client may be idle."""

    drain_s: float = Field(5.0, ge=0, le=600)
    """How long an edge that is told to stop goes on serving while `/_penstock/readyz` says 503, so that load balancers
    choose another edge before it stops listening. 0 under `penstock up`, where no load balancer asks.
    """

    # Workers
    max_in_flight: int = Field(256, ge=1)
    """Jobs that a worker has in flight at most."""
    horizon_ms: float = Field(50.0, gt=0, le=1000)
    """How far ahead slots are granted to a worker."""
    slot_lead_ms: float = Field(5.0, ge=0, le=1000)
    """How far ahead a slot must lie at least, so that its job can be leased in time."""
    slot_grace_ms: float = Field(20.0, gt=0, le=1000)
    """How late a slot may still be used; a later one is given up and its job goes back to the head of its flow."""
    flow_lease_ms: float = Field(200.0, ge=50)
    """How long a worker holds a flow exclusively."""
    lease_s: float = Field(30.0, gt=0)
    """How long a worker holds a job exclusively unless it renews the lease: the time until a job of a killed worker is
    sent again.
    """
    reclaim_interval_s: float = Field(5.0, gt=0)
    """How often workers look for jobs whose lease has ended."""
    finish_within_s: float = Field(20.0, ge=0)
    """How long a stopping worker waits for the requests it has sent; then their jobs go back to their flows."""
    retry_base_s: float = Field(1.0, gt=0)
    """The first backoff between two attempts; it doubles, with jitter."""
    retry_max_s: float = Field(60.0, gt=0)
    """The longest backoff between two attempts."""

    # Operators
    admin_base_path: BasePath = ""
    """The path of a reverse proxy below which the admin process serves the dashboard and the API, such as `/penstock`.
    It makes no difference whether the proxy leaves the path in what it forwards or takes it off.
    """
    admin_oidc_issuer: Annotated[str | None, Field(pattern=r"^https?://[\x21-\x7e]+$")] = None
    """The OpenID Connect issuer by which operators sign in to the dashboard, as it names itself. Its tokens are
    verified as those of any operator. Without it operators sign in with a token.
    """
    admin_oidc_client_id: Annotated[str | None, Field(min_length=1, max_length=512, validate_default=True)] = None
    """The dashboard's client at that issuer. Its redirect address is `/sign-in/callback` below the dashboard."""
    admin_oidc_client_secret_file: FilePath | None = None
    """A file with the client's secret, if the client is a confidential one. Sign-in uses PKCE in either case."""
    admin_oidc_scope: str = Field("openid", pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$")
    """The scopes that the dashboard asks for, separated by spaces."""
    admin_url: HttpUrl | None = None
    """The admin API that commands use. Default: the one of the installation in `PENSTOCK_DATA_DIR`."""
    admin_token: Annotated[str | None, Field(pattern=r"^[\x21-\x7e]+$", repr=False)] = None
    """The token that commands send to the admin API. Default: one of the development issuer."""
    admin_token_file: Path | None = None
    """A file with that token, which only its owner may read; it is used where `PENSTOCK_ADMIN_TOKEN` is not set."""
    profile: Annotated[str | None, Field(min_length=1)] = None
    """The profile in `~/.config/penstock/config.toml` that commands use where `PENSTOCK_ADMIN_URL` is not set."""
    data_dir: Path = Path(".penstock")
    """Where `penstock up` keeps its data, and where commands look for the running installation."""
    ops_host: Address = "127.0.0.1"
    """The address on which every process serves its `/metrics` and `/healthz`. They have no password: use a network
    that only your monitoring reaches.
    """
    runtime_file: Path | None = None
    """The file in which `penstock up` says what is down, for `/_penstock/readyz`. `penstock up` sets it."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe log lines that are written."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing but the environment. Asking sources that have no file takes as long as reading it."""
        return init_settings, env_settings

    @field_validator("kafka_bootstrap")
    @classmethod
    def _require_brokers(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not value and info.data.get("queue") == "kafka":
            raise ValueError("PENSTOCK_QUEUE=kafka needs at least one broker, host:port")
        return value

    @field_validator("kafka_dead_letter_topic")
    @classmethod
    def _require_distinct_topics(cls, value: str, info: ValidationInfo) -> str:
        if value == info.data.get("kafka_topic"):
            raise ValueError("must differ from PENSTOCK_KAFKA_TOPIC")
        return value

    @field_validator("kafka_password")
    @classmethod
    def _require_sasl_credentials(cls, value: str | None, info: ValidationInfo) -> str | None:
        if str(info.data.get("kafka_security")).startswith("SASL") and not (value and info.data.get("kafka_username")):
            raise ValueError("PENSTOCK_KAFKA_SECURITY with SASL needs PENSTOCK_KAFKA_USERNAME and a password")
        return value

    @field_validator("admin_oidc_client_id")
    @classmethod
    def _require_oidc_client(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("admin_oidc_issuer") is not None:
            raise ValueError("PENSTOCK_ADMIN_OIDC_ISSUER needs the id of a client")
        return value


def load_settings(**overrides: str) -> Settings:
    """Read the settings from the environment, except for overrides. Raises StartupError for the first invalid one."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic validates them
    except ValidationError as error:
        first = error.errors()[0]
        name = "PENSTOCK_" + "_".join(str(part) for part in first["loc"][:1]).upper()
        raise StartupError(f"{name}: {first['msg']}") from error
