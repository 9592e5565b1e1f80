import datetime

from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Rule(_message.Message):
    __slots__ = ("rule_id", "key_type", "key_value", "secret", "action", "limit", "window_seconds", "burst", "algorithm", "limits", "headroom_ms", "concurrency", "fixed_cost", "variable_cost", "priority", "enabled", "match", "on_limit", "drain", "paused", "queue", "shadow", "on_store_failure", "version", "updated_at", "updated_by", "schedule", "temporary")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_TYPE_FIELD_NUMBER: _ClassVar[int]
    KEY_VALUE_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    HEADROOM_MS_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    FIXED_COST_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_COST_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    MATCH_FIELD_NUMBER: _ClassVar[int]
    ON_LIMIT_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    ON_STORE_FAILURE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_BY_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    TEMPORARY_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    key_type: _containers.RepeatedScalarFieldContainer[str]
    key_value: _containers.RepeatedScalarFieldContainer[str]
    secret: bool
    action: str
    limit: int
    window_seconds: float
    burst: int
    algorithm: str
    limits: _containers.RepeatedCompositeFieldContainer[RuleLimit]
    headroom_ms: int
    concurrency: int
    fixed_cost: int
    variable_cost: VariableCost
    priority: int
    enabled: bool
    match: MatchConditions
    on_limit: str
    drain: Drain
    paused: bool
    queue: QueueOptions
    shadow: bool
    on_store_failure: str
    version: int
    updated_at: _timestamp_pb2.Timestamp
    updated_by: str
    schedule: _containers.RepeatedCompositeFieldContainer[ScheduledWindow]
    temporary: _containers.RepeatedCompositeFieldContainer[TemporaryChange]
    def __init__(self, rule_id: _Optional[str] = ..., key_type: _Optional[_Iterable[str]] = ..., key_value: _Optional[_Iterable[str]] = ..., secret: _Optional[bool] = ..., action: _Optional[str] = ..., limit: _Optional[int] = ..., window_seconds: _Optional[float] = ..., burst: _Optional[int] = ..., algorithm: _Optional[str] = ..., limits: _Optional[_Iterable[_Union[RuleLimit, _Mapping]]] = ..., headroom_ms: _Optional[int] = ..., concurrency: _Optional[int] = ..., fixed_cost: _Optional[int] = ..., variable_cost: _Optional[_Union[VariableCost, _Mapping]] = ..., priority: _Optional[int] = ..., enabled: _Optional[bool] = ..., match: _Optional[_Union[MatchConditions, _Mapping]] = ..., on_limit: _Optional[str] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., paused: _Optional[bool] = ..., queue: _Optional[_Union[QueueOptions, _Mapping]] = ..., shadow: _Optional[bool] = ..., on_store_failure: _Optional[str] = ..., version: _Optional[int] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_by: _Optional[str] = ..., schedule: _Optional[_Iterable[_Union[ScheduledWindow, _Mapping]]] = ..., temporary: _Optional[_Iterable[_Union[TemporaryChange, _Mapping]]] = ...) -> None: ...

class ScheduledWindow(_message.Message):
    __slots__ = ("days", "to", "timezone", "drain", "limit")
    DAYS_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    TIMEZONE_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    days: _containers.RepeatedScalarFieldContainer[str]
    to: str
    timezone: str
    drain: Drain
    limit: ScheduledLimit
    def __init__(self, days: _Optional[_Iterable[str]] = ..., to: _Optional[str] = ..., timezone: _Optional[str] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., limit: _Optional[_Union[ScheduledLimit, _Mapping]] = ..., **kwargs) -> None: ...

class ScheduledLimit(_message.Message):
    __slots__ = ("limit", "window_seconds", "burst")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    limit: int
    window_seconds: float
    burst: int
    def __init__(self, limit: _Optional[int] = ..., window_seconds: _Optional[float] = ..., burst: _Optional[int] = ...) -> None: ...

class TemporaryChange(_message.Message):
    __slots__ = ("until", "previous")
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    until: _timestamp_pb2.Timestamp
    previous: _struct_pb2.Struct
    def __init__(self, until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., previous: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class RuleLimit(_message.Message):
    __slots__ = ("limit", "window_seconds", "burst", "algorithm", "cost")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    limit: int
    window_seconds: float
    burst: int
    algorithm: str
    cost: int
    def __init__(self, limit: _Optional[int] = ..., window_seconds: _Optional[float] = ..., burst: _Optional[int] = ..., algorithm: _Optional[str] = ..., cost: _Optional[int] = ...) -> None: ...

class VariableCost(_message.Message):
    __slots__ = ("header", "default", "max", "response_header", "expose")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_HEADER_FIELD_NUMBER: _ClassVar[int]
    EXPOSE_FIELD_NUMBER: _ClassVar[int]
    header: str
    default: int
    max: int
    response_header: str
    expose: bool
    def __init__(self, header: _Optional[str] = ..., default: _Optional[int] = ..., max: _Optional[int] = ..., response_header: _Optional[str] = ..., expose: _Optional[bool] = ...) -> None: ...

class MatchConditions(_message.Message):
    __slots__ = ("methods", "path_prefix", "claims", "anonymous")
    class ClaimsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ClaimValues
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ClaimValues, _Mapping]] = ...) -> None: ...
    METHODS_FIELD_NUMBER: _ClassVar[int]
    PATH_PREFIX_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_FIELD_NUMBER: _ClassVar[int]
    methods: _containers.RepeatedScalarFieldContainer[str]
    path_prefix: str
    claims: _containers.MessageMap[str, ClaimValues]
    anonymous: bool
    def __init__(self, methods: _Optional[_Iterable[str]] = ..., path_prefix: _Optional[str] = ..., claims: _Optional[_Mapping[str, ClaimValues]] = ..., anonymous: _Optional[bool] = ...) -> None: ...

class ClaimValues(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Value]
    def __init__(self, values: _Optional[_Iterable[_Union[_struct_pb2.Value, _Mapping]]] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("limit", "window_seconds", "burst", "concurrency")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    limit: int
    window_seconds: float
    burst: int
    concurrency: int
    def __init__(self, limit: _Optional[int] = ..., window_seconds: _Optional[float] = ..., burst: _Optional[int] = ..., concurrency: _Optional[int] = ...) -> None: ...

class QueueOptions(_message.Message):
    __slots__ = ("max_depth", "max_bytes", "max_wait_seconds", "max_attempts", "result_ttl_seconds", "dead_letter_ttl_seconds", "overtaking", "on_delete", "keep_credentials", "drop_headers", "callback_hosts")
    MAX_DEPTH_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    RESULT_TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    OVERTAKING_FIELD_NUMBER: _ClassVar[int]
    ON_DELETE_FIELD_NUMBER: _ClassVar[int]
    KEEP_CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    DROP_HEADERS_FIELD_NUMBER: _ClassVar[int]
    CALLBACK_HOSTS_FIELD_NUMBER: _ClassVar[int]
    max_depth: int
    max_bytes: int
    max_wait_seconds: float
    max_attempts: int
    result_ttl_seconds: int
    dead_letter_ttl_seconds: int
    overtaking: bool
    on_delete: str
    keep_credentials: bool
    drop_headers: _containers.RepeatedScalarFieldContainer[str]
    callback_hosts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, max_depth: _Optional[int] = ..., max_bytes: _Optional[int] = ..., max_wait_seconds: _Optional[float] = ..., max_attempts: _Optional[int] = ..., result_ttl_seconds: _Optional[int] = ..., dead_letter_ttl_seconds: _Optional[int] = ..., overtaking: _Optional[bool] = ..., on_delete: _Optional[str] = ..., keep_credentials: _Optional[bool] = ..., drop_headers: _Optional[_Iterable[str]] = ..., callback_hosts: _Optional[_Iterable[str]] = ...) -> None: ...

class GetRuleRequest(_message.Message):
    __slots__ = ("rule_id",)
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    def __init__(self, rule_id: _Optional[str] = ...) -> None: ...

class GetRuleResponse(_message.Message):
    __slots__ = ("rule", "etag")
    RULE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    rule: Rule
    etag: str
    def __init__(self, rule: _Optional[_Union[Rule, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListRulesRequest(_message.Message):
    __slots__ = ("limit", "after", "search", "key_type", "key_value", "sort", "paused")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    KEY_TYPE_FIELD_NUMBER: _ClassVar[int]
    KEY_VALUE_FIELD_NUMBER: _ClassVar[int]
    SORT_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    limit: int
    after: str
    search: str
    key_type: str
    key_value: str
    sort: str
    paused: bool
    def __init__(self, limit: _Optional[int] = ..., after: _Optional[str] = ..., search: _Optional[str] = ..., key_type: _Optional[str] = ..., key_value: _Optional[str] = ..., sort: _Optional[str] = ..., paused: _Optional[bool] = ...) -> None: ...

class ListRulesResponse(_message.Message):
    __slots__ = ("rules", "invalid", "next")
    RULES_FIELD_NUMBER: _ClassVar[int]
    INVALID_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[Rule]
    invalid: _containers.RepeatedCompositeFieldContainer[InvalidDocument]
    next: str
    def __init__(self, rules: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ..., invalid: _Optional[_Iterable[_Union[InvalidDocument, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class InvalidDocument(_message.Message):
    __slots__ = ("rule_id", "document_key", "problem", "version_in_force")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_KEY_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    VERSION_IN_FORCE_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    document_key: str
    problem: str
    version_in_force: int
    def __init__(self, rule_id: _Optional[str] = ..., document_key: _Optional[str] = ..., problem: _Optional[str] = ..., version_in_force: _Optional[int] = ...) -> None: ...

class CreateRuleRequest(_message.Message):
    __slots__ = ("rule",)
    RULE_FIELD_NUMBER: _ClassVar[int]
    rule: Rule
    def __init__(self, rule: _Optional[_Union[Rule, _Mapping]] = ...) -> None: ...

class CreateRuleResponse(_message.Message):
    __slots__ = ("rule", "etag")
    RULE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    rule: Rule
    etag: str
    def __init__(self, rule: _Optional[_Union[Rule, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class UpdateRuleRequest(_message.Message):
    __slots__ = ("rule", "update_mask", "etag", "for_seconds")
    RULE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    FOR_SECONDS_FIELD_NUMBER: _ClassVar[int]
    rule: Rule
    update_mask: _field_mask_pb2.FieldMask
    etag: str
    for_seconds: int
    def __init__(self, rule: _Optional[_Union[Rule, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., etag: _Optional[str] = ..., for_seconds: _Optional[int] = ...) -> None: ...

class UpdateRuleResponse(_message.Message):
    __slots__ = ("rule", "etag")
    RULE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    rule: Rule
    etag: str
    def __init__(self, rule: _Optional[_Union[Rule, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteRuleRequest(_message.Message):
    __slots__ = ("rule_id", "etag")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    etag: str
    def __init__(self, rule_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteRuleResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRuleVersionsRequest(_message.Message):
    __slots__ = ("rule_id", "limit")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    limit: int
    def __init__(self, rule_id: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListRuleVersionsResponse(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[RuleVersion]
    def __init__(self, versions: _Optional[_Iterable[_Union[RuleVersion, _Mapping]]] = ...) -> None: ...

class RuleVersion(_message.Message):
    __slots__ = ("at", "rule")
    AT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    rule: Rule
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rule: _Optional[_Union[Rule, _Mapping]] = ...) -> None: ...

class RestoreRuleRequest(_message.Message):
    __slots__ = ("rule_id", "version", "etag")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    version: int
    etag: str
    def __init__(self, rule_id: _Optional[str] = ..., version: _Optional[int] = ..., etag: _Optional[str] = ...) -> None: ...

class RestoreRuleResponse(_message.Message):
    __slots__ = ("rule", "etag")
    RULE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    rule: Rule
    etag: str
    def __init__(self, rule: _Optional[_Union[Rule, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("user", "ip", "claims", "method", "path", "headers")
    class ClaimsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    USER_FIELD_NUMBER: _ClassVar[int]
    IP_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    user: str
    ip: str
    claims: _containers.MessageMap[str, _struct_pb2.Value]
    method: str
    path: str
    headers: _containers.ScalarMap[str, str]
    def __init__(self, user: _Optional[str] = ..., ip: _Optional[str] = ..., claims: _Optional[_Mapping[str, _struct_pb2.Value]] = ..., method: _Optional[str] = ..., path: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("rules", "decision", "by")
    RULES_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[ExplainedRule]
    decision: str
    by: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, rules: _Optional[_Iterable[_Union[ExplainedRule, _Mapping]]] = ..., decision: _Optional[str] = ..., by: _Optional[_Iterable[str]] = ...) -> None: ...

class ExplainedRule(_message.Message):
    __slots__ = ("rule_id", "policy", "descriptor", "action", "shadow", "refuses", "limit", "window_seconds", "headroom_ms", "burst", "algorithm", "cost", "on_limit", "remaining", "in_flight", "wait_seconds", "backlog", "source", "until")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    REFUSES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_SECONDS_FIELD_NUMBER: _ClassVar[int]
    HEADROOM_MS_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ON_LIMIT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    policy: str
    descriptor: str
    action: str
    shadow: bool
    refuses: bool
    limit: int
    window_seconds: float
    headroom_ms: int
    burst: int
    algorithm: str
    cost: int
    on_limit: str
    remaining: int
    in_flight: int
    wait_seconds: float
    backlog: bool
    source: str
    until: _timestamp_pb2.Timestamp
    def __init__(self, rule_id: _Optional[str] = ..., policy: _Optional[str] = ..., descriptor: _Optional[str] = ..., action: _Optional[str] = ..., shadow: _Optional[bool] = ..., refuses: _Optional[bool] = ..., limit: _Optional[int] = ..., window_seconds: _Optional[float] = ..., headroom_ms: _Optional[int] = ..., burst: _Optional[int] = ..., algorithm: _Optional[str] = ..., cost: _Optional[int] = ..., on_limit: _Optional[str] = ..., remaining: _Optional[int] = ..., in_flight: _Optional[int] = ..., wait_seconds: _Optional[float] = ..., backlog: _Optional[bool] = ..., source: _Optional[str] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SetDrainRateRequest(_message.Message):
    __slots__ = ("rule_id", "drain", "etag", "for_seconds")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    FOR_SECONDS_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    drain: Drain
    etag: str
    for_seconds: int
    def __init__(self, rule_id: _Optional[str] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., etag: _Optional[str] = ..., for_seconds: _Optional[int] = ...) -> None: ...

class SetDrainRateResponse(_message.Message):
    __slots__ = ("rule", "etag")
    RULE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    rule: Rule
    etag: str
    def __init__(self, rule: _Optional[_Union[Rule, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteDrainRateRequest(_message.Message):
    __slots__ = ("rule_id", "etag")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    etag: str
    def __init__(self, rule_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteDrainRateResponse(_message.Message):
    __slots__ = ("rule", "etag")
    RULE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    rule: Rule
    etag: str
    def __init__(self, rule: _Optional[_Union[Rule, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class PauseDrainRequest(_message.Message):
    __slots__ = ("rule_id", "etag", "for_seconds")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    FOR_SECONDS_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    etag: str
    for_seconds: int
    def __init__(self, rule_id: _Optional[str] = ..., etag: _Optional[str] = ..., for_seconds: _Optional[int] = ...) -> None: ...

class PauseDrainResponse(_message.Message):
    __slots__ = ("rule", "etag")
    RULE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    rule: Rule
    etag: str
    def __init__(self, rule: _Optional[_Union[Rule, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ResumeDrainRequest(_message.Message):
    __slots__ = ("rule_id", "etag", "for_seconds")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    FOR_SECONDS_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    etag: str
    for_seconds: int
    def __init__(self, rule_id: _Optional[str] = ..., etag: _Optional[str] = ..., for_seconds: _Optional[int] = ...) -> None: ...

class ResumeDrainResponse(_message.Message):
    __slots__ = ("rule", "etag")
    RULE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    rule: Rule
    etag: str
    def __init__(self, rule: _Optional[_Union[Rule, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class PurgeDrainRequest(_message.Message):
    __slots__ = ("rule_id", "after")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    after: str
    def __init__(self, rule_id: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class PurgeDrainResponse(_message.Message):
    __slots__ = ("canceled", "next")
    CANCELED_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    canceled: int
    next: str
    def __init__(self, canceled: _Optional[int] = ..., next: _Optional[str] = ...) -> None: ...

class ListFlowsRequest(_message.Message):
    __slots__ = ("sort", "rule_id", "descriptor", "limit", "after", "state")
    SORT_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    sort: str
    rule_id: str
    descriptor: str
    limit: int
    after: str
    state: str
    def __init__(self, sort: _Optional[str] = ..., rule_id: _Optional[str] = ..., descriptor: _Optional[str] = ..., limit: _Optional[int] = ..., after: _Optional[str] = ..., state: _Optional[str] = ...) -> None: ...

class ListFlowsResponse(_message.Message):
    __slots__ = ("flows", "total", "as_of", "complete", "next")
    FLOWS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    flows: _containers.RepeatedCompositeFieldContainer[Flow]
    total: int
    as_of: _timestamp_pb2.Timestamp
    complete: bool
    next: str
    def __init__(self, flows: _Optional[_Iterable[_Union[Flow, _Mapping]]] = ..., total: _Optional[int] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., complete: _Optional[bool] = ..., next: _Optional[str] = ...) -> None: ...

class GetFlowRequest(_message.Message):
    __slots__ = ("flow_id",)
    FLOW_ID_FIELD_NUMBER: _ClassVar[int]
    flow_id: str
    def __init__(self, flow_id: _Optional[str] = ...) -> None: ...

class GetFlowResponse(_message.Message):
    __slots__ = ("flow",)
    FLOW_FIELD_NUMBER: _ClassVar[int]
    flow: Flow
    def __init__(self, flow: _Optional[_Union[Flow, _Mapping]] = ...) -> None: ...

class PurgeFlowRequest(_message.Message):
    __slots__ = ("flow_id", "after")
    FLOW_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    flow_id: str
    after: str
    def __init__(self, flow_id: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class PurgeFlowResponse(_message.Message):
    __slots__ = ("canceled", "next")
    CANCELED_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    canceled: int
    next: str
    def __init__(self, canceled: _Optional[int] = ..., next: _Optional[str] = ...) -> None: ...

class FlowRate(_message.Message):
    __slots__ = ("limit", "window_seconds", "burst")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    limit: int
    window_seconds: float
    burst: int
    def __init__(self, limit: _Optional[int] = ..., window_seconds: _Optional[float] = ..., burst: _Optional[int] = ...) -> None: ...

class FlowSettings(_message.Message):
    __slots__ = ("id", "rule_id", "descriptor", "paused", "rate", "changed_at", "changed_by", "paused_until", "rate_until")
    ID_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_BY_FIELD_NUMBER: _ClassVar[int]
    PAUSED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    RATE_UNTIL_FIELD_NUMBER: _ClassVar[int]
    id: str
    rule_id: str
    descriptor: str
    paused: bool
    rate: FlowRate
    changed_at: _timestamp_pb2.Timestamp
    changed_by: str
    paused_until: _timestamp_pb2.Timestamp
    rate_until: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., rule_id: _Optional[str] = ..., descriptor: _Optional[str] = ..., paused: _Optional[bool] = ..., rate: _Optional[_Union[FlowRate, _Mapping]] = ..., changed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., changed_by: _Optional[str] = ..., paused_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rate_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PauseFlowRequest(_message.Message):
    __slots__ = ("flow_id", "for_seconds")
    FLOW_ID_FIELD_NUMBER: _ClassVar[int]
    FOR_SECONDS_FIELD_NUMBER: _ClassVar[int]
    flow_id: str
    for_seconds: int
    def __init__(self, flow_id: _Optional[str] = ..., for_seconds: _Optional[int] = ...) -> None: ...

class PauseFlowResponse(_message.Message):
    __slots__ = ("settings",)
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: FlowSettings
    def __init__(self, settings: _Optional[_Union[FlowSettings, _Mapping]] = ...) -> None: ...

class ResumeFlowRequest(_message.Message):
    __slots__ = ("flow_id",)
    FLOW_ID_FIELD_NUMBER: _ClassVar[int]
    flow_id: str
    def __init__(self, flow_id: _Optional[str] = ...) -> None: ...

class ResumeFlowResponse(_message.Message):
    __slots__ = ("settings",)
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: FlowSettings
    def __init__(self, settings: _Optional[_Union[FlowSettings, _Mapping]] = ...) -> None: ...

class SetFlowRateRequest(_message.Message):
    __slots__ = ("flow_id", "rate", "for_seconds")
    FLOW_ID_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    FOR_SECONDS_FIELD_NUMBER: _ClassVar[int]
    flow_id: str
    rate: FlowRate
    for_seconds: int
    def __init__(self, flow_id: _Optional[str] = ..., rate: _Optional[_Union[FlowRate, _Mapping]] = ..., for_seconds: _Optional[int] = ...) -> None: ...

class SetFlowRateResponse(_message.Message):
    __slots__ = ("settings",)
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: FlowSettings
    def __init__(self, settings: _Optional[_Union[FlowSettings, _Mapping]] = ...) -> None: ...

class DeleteFlowRateRequest(_message.Message):
    __slots__ = ("flow_id",)
    FLOW_ID_FIELD_NUMBER: _ClassVar[int]
    flow_id: str
    def __init__(self, flow_id: _Optional[str] = ...) -> None: ...

class DeleteFlowRateResponse(_message.Message):
    __slots__ = ("settings",)
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: FlowSettings
    def __init__(self, settings: _Optional[_Union[FlowSettings, _Mapping]] = ...) -> None: ...

class Flow(_message.Message):
    __slots__ = ("id", "name", "rule_id", "descriptor", "caller", "depth", "waiting", "in_flight", "backing_off", "bytes", "oldest_age_seconds", "state", "state_detail", "held_until", "waits_for", "permitted_per_second", "permitted_by", "own_rate", "actual_per_second", "actual_over_seconds", "eta_seconds", "paused_by")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    BACKING_OFF_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    OLDEST_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_DETAIL_FIELD_NUMBER: _ClassVar[int]
    HELD_UNTIL_FIELD_NUMBER: _ClassVar[int]
    WAITS_FOR_FIELD_NUMBER: _ClassVar[int]
    PERMITTED_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    PERMITTED_BY_FIELD_NUMBER: _ClassVar[int]
    OWN_RATE_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_OVER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ETA_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_BY_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    rule_id: str
    descriptor: str
    caller: str
    depth: int
    waiting: int
    in_flight: int
    backing_off: int
    bytes: int
    oldest_age_seconds: float
    state: str
    state_detail: str
    held_until: _timestamp_pb2.Timestamp
    waits_for: str
    permitted_per_second: float
    permitted_by: str
    own_rate: FlowRate
    actual_per_second: float
    actual_over_seconds: float
    eta_seconds: float
    paused_by: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., rule_id: _Optional[str] = ..., descriptor: _Optional[str] = ..., caller: _Optional[str] = ..., depth: _Optional[int] = ..., waiting: _Optional[int] = ..., in_flight: _Optional[int] = ..., backing_off: _Optional[int] = ..., bytes: _Optional[int] = ..., oldest_age_seconds: _Optional[float] = ..., state: _Optional[str] = ..., state_detail: _Optional[str] = ..., held_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., waits_for: _Optional[str] = ..., permitted_per_second: _Optional[float] = ..., permitted_by: _Optional[str] = ..., own_rate: _Optional[_Union[FlowRate, _Mapping]] = ..., actual_per_second: _Optional[float] = ..., actual_over_seconds: _Optional[float] = ..., eta_seconds: _Optional[float] = ..., paused_by: _Optional[str] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("rule_id", "descriptor", "flow", "owner", "subject", "issuer", "status", "response_status", "submitted_after", "submitted_before", "finished_after", "finished_before", "limit", "after")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_STATUS_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AFTER_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AFTER_FIELD_NUMBER: _ClassVar[int]
    FINISHED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    descriptor: str
    flow: str
    owner: str
    subject: str
    issuer: str
    status: _containers.RepeatedScalarFieldContainer[str]
    response_status: int
    submitted_after: _timestamp_pb2.Timestamp
    submitted_before: _timestamp_pb2.Timestamp
    finished_after: _timestamp_pb2.Timestamp
    finished_before: _timestamp_pb2.Timestamp
    limit: int
    after: str
    def __init__(self, rule_id: _Optional[str] = ..., descriptor: _Optional[str] = ..., flow: _Optional[str] = ..., owner: _Optional[str] = ..., subject: _Optional[str] = ..., issuer: _Optional[str] = ..., status: _Optional[_Iterable[str]] = ..., response_status: _Optional[int] = ..., submitted_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., submitted_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., limit: _Optional[int] = ..., after: _Optional[str] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[JobSummary]
    next: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[JobSummary, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class GetJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: JobDocument
    def __init__(self, job: _Optional[_Union[JobDocument, _Mapping]] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class CancelJobResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class JobSummary(_message.Message):
    __slots__ = ("id", "rule_id", "descriptor", "flow", "flow_id", "owner", "status", "attempts", "submitted_at", "started_at", "finished_at", "error", "response_status", "position", "eta_seconds", "waiting_for")
    ID_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    FLOW_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_STATUS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ETA_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    id: str
    rule_id: str
    descriptor: str
    flow: str
    flow_id: str
    owner: str
    status: str
    attempts: int
    submitted_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    error: FailureReason
    response_status: int
    position: int
    eta_seconds: float
    waiting_for: str
    def __init__(self, id: _Optional[str] = ..., rule_id: _Optional[str] = ..., descriptor: _Optional[str] = ..., flow: _Optional[str] = ..., flow_id: _Optional[str] = ..., owner: _Optional[str] = ..., status: _Optional[str] = ..., attempts: _Optional[int] = ..., submitted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[_Union[FailureReason, _Mapping]] = ..., response_status: _Optional[int] = ..., position: _Optional[int] = ..., eta_seconds: _Optional[float] = ..., waiting_for: _Optional[str] = ...) -> None: ...

class FailureReason(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class JobDocument(_message.Message):
    __slots__ = ("id", "rule_id", "descriptor", "flow", "flow_id", "owner", "status", "attempts", "submitted_at", "started_at", "finished_at", "error", "response_status", "position", "eta_seconds", "waiting_for", "expires_at", "wait", "flow_state", "earlier_attempts", "timeline", "contents")
    ID_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    FLOW_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_STATUS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ETA_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    FLOW_STATE_FIELD_NUMBER: _ClassVar[int]
    EARLIER_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    rule_id: str
    descriptor: str
    flow: str
    flow_id: str
    owner: str
    status: str
    attempts: int
    submitted_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    error: FailureReason
    response_status: int
    position: int
    eta_seconds: float
    waiting_for: str
    expires_at: _timestamp_pb2.Timestamp
    wait: WaitDocument
    flow_state: JobFlowDocument
    earlier_attempts: int
    timeline: _containers.RepeatedCompositeFieldContainer[TimelineEvent]
    contents: JobContentsDocument
    def __init__(self, id: _Optional[str] = ..., rule_id: _Optional[str] = ..., descriptor: _Optional[str] = ..., flow: _Optional[str] = ..., flow_id: _Optional[str] = ..., owner: _Optional[str] = ..., status: _Optional[str] = ..., attempts: _Optional[int] = ..., submitted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[_Union[FailureReason, _Mapping]] = ..., response_status: _Optional[int] = ..., position: _Optional[int] = ..., eta_seconds: _Optional[float] = ..., waiting_for: _Optional[str] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., wait: _Optional[_Union[WaitDocument, _Mapping]] = ..., flow_state: _Optional[_Union[JobFlowDocument, _Mapping]] = ..., earlier_attempts: _Optional[int] = ..., timeline: _Optional[_Iterable[_Union[TimelineEvent, _Mapping]]] = ..., contents: _Optional[_Union[JobContentsDocument, _Mapping]] = ...) -> None: ...

class WaitDocument(_message.Message):
    __slots__ = ("reason", "detail", "until")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    reason: str
    detail: str
    until: _timestamp_pb2.Timestamp
    def __init__(self, reason: _Optional[str] = ..., detail: _Optional[str] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class JobFlowDocument(_message.Message):
    __slots__ = ("name", "depth", "bytes", "paused")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    name: str
    depth: int
    bytes: int
    paused: bool
    def __init__(self, name: _Optional[str] = ..., depth: _Optional[int] = ..., bytes: _Optional[int] = ..., paused: _Optional[bool] = ...) -> None: ...

class TimelineEvent(_message.Message):
    __slots__ = ("event", "at", "number", "worker", "ended_at", "duration_ms", "response_status", "error_code")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    event: str
    at: _timestamp_pb2.Timestamp
    number: int
    worker: str
    ended_at: _timestamp_pb2.Timestamp
    duration_ms: int
    response_status: int
    error_code: str
    def __init__(self, event: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., number: _Optional[int] = ..., worker: _Optional[str] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., duration_ms: _Optional[int] = ..., response_status: _Optional[int] = ..., error_code: _Optional[str] = ...) -> None: ...

class JobContentsDocument(_message.Message):
    __slots__ = ("request", "response")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    request: StoredRequestDocument
    response: StoredResponseDocument
    def __init__(self, request: _Optional[_Union[StoredRequestDocument, _Mapping]] = ..., response: _Optional[_Union[StoredResponseDocument, _Mapping]] = ...) -> None: ...

class StoredRequestDocument(_message.Message):
    __slots__ = ("caller", "method", "target", "headers", "body", "body_text")
    CALLER_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    BODY_TEXT_FIELD_NUMBER: _ClassVar[int]
    caller: StoredCaller
    method: str
    target: str
    headers: _containers.RepeatedCompositeFieldContainer[HeaderLine]
    body: bytes
    body_text: str
    def __init__(self, caller: _Optional[_Union[StoredCaller, _Mapping]] = ..., method: _Optional[str] = ..., target: _Optional[str] = ..., headers: _Optional[_Iterable[_Union[HeaderLine, _Mapping]]] = ..., body: _Optional[bytes] = ..., body_text: _Optional[str] = ...) -> None: ...

class StoredCaller(_message.Message):
    __slots__ = ("issuer", "subject")
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    issuer: str
    subject: str
    def __init__(self, issuer: _Optional[str] = ..., subject: _Optional[str] = ...) -> None: ...

class StoredResponseDocument(_message.Message):
    __slots__ = ("status", "headers", "body", "body_text")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    BODY_TEXT_FIELD_NUMBER: _ClassVar[int]
    status: int
    headers: _containers.RepeatedCompositeFieldContainer[HeaderLine]
    body: bytes
    body_text: str
    def __init__(self, status: _Optional[int] = ..., headers: _Optional[_Iterable[_Union[HeaderLine, _Mapping]]] = ..., body: _Optional[bytes] = ..., body_text: _Optional[str] = ...) -> None: ...

class HeaderLine(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: Status
    def __init__(self, status: _Optional[_Union[Status, _Mapping]] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("at", "problems", "rates", "backlog", "rules", "processes", "app_servers", "stores", "decision_latency", "flows", "drain")
    AT_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    APP_SERVERS_FIELD_NUMBER: _ClassVar[int]
    STORES_FIELD_NUMBER: _ClassVar[int]
    DECISION_LATENCY_FIELD_NUMBER: _ClassVar[int]
    FLOWS_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    problems: _containers.RepeatedCompositeFieldContainer[StatusProblem]
    rates: RateStatus
    backlog: BacklogStatus
    rules: RulesStatus
    processes: _containers.RepeatedCompositeFieldContainer[ProcessStatus]
    app_servers: _containers.RepeatedCompositeFieldContainer[AppServerStatus]
    stores: _containers.RepeatedCompositeFieldContainer[StoreStatus]
    decision_latency: LatencyStatus
    flows: FlowsStatus
    drain: DrainStatus
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., problems: _Optional[_Iterable[_Union[StatusProblem, _Mapping]]] = ..., rates: _Optional[_Union[RateStatus, _Mapping]] = ..., backlog: _Optional[_Union[BacklogStatus, _Mapping]] = ..., rules: _Optional[_Union[RulesStatus, _Mapping]] = ..., processes: _Optional[_Iterable[_Union[ProcessStatus, _Mapping]]] = ..., app_servers: _Optional[_Iterable[_Union[AppServerStatus, _Mapping]]] = ..., stores: _Optional[_Iterable[_Union[StoreStatus, _Mapping]]] = ..., decision_latency: _Optional[_Union[LatencyStatus, _Mapping]] = ..., flows: _Optional[_Union[FlowsStatus, _Mapping]] = ..., drain: _Optional[_Union[DrainStatus, _Mapping]] = ...) -> None: ...

class DrainStatus(_message.Message):
    __slots__ = ("permitted_per_second", "actual_per_second")
    PERMITTED_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    permitted_per_second: float
    actual_per_second: float
    def __init__(self, permitted_per_second: _Optional[float] = ..., actual_per_second: _Optional[float] = ...) -> None: ...

class StatusProblem(_message.Message):
    __slots__ = ("text", "about")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    text: str
    about: str
    def __init__(self, text: _Optional[str] = ..., about: _Optional[str] = ...) -> None: ...

class LatencyStatus(_message.Message):
    __slots__ = ("p50_seconds", "p99_seconds")
    P50_SECONDS_FIELD_NUMBER: _ClassVar[int]
    P99_SECONDS_FIELD_NUMBER: _ClassVar[int]
    p50_seconds: float
    p99_seconds: float
    def __init__(self, p50_seconds: _Optional[float] = ..., p99_seconds: _Optional[float] = ...) -> None: ...

class FlowsStatus(_message.Message):
    __slots__ = ("total", "held", "paused", "as_of")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    total: int
    held: int
    paused: int
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, total: _Optional[int] = ..., held: _Optional[int] = ..., paused: _Optional[int] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RateStatus(_message.Message):
    __slots__ = ("decisions", "attempts")
    class DecisionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.ScalarMap[str, float]
    attempts: float
    def __init__(self, decisions: _Optional[_Mapping[str, float]] = ..., attempts: _Optional[float] = ...) -> None: ...

class BacklogStatus(_message.Message):
    __slots__ = ("jobs", "oldest_age_seconds", "retrying", "dead_letters", "recent_dead_letters")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    OLDEST_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    RETRYING_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    RECENT_DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    jobs: int
    oldest_age_seconds: float
    retrying: int
    dead_letters: int
    recent_dead_letters: int
    def __init__(self, jobs: _Optional[int] = ..., oldest_age_seconds: _Optional[float] = ..., retrying: _Optional[int] = ..., dead_letters: _Optional[int] = ..., recent_dead_letters: _Optional[int] = ...) -> None: ...

class RulesStatus(_message.Message):
    __slots__ = ("version", "sync_lag_seconds", "invalid_documents", "paused")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SYNC_LAG_SECONDS_FIELD_NUMBER: _ClassVar[int]
    INVALID_DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    version: int
    sync_lag_seconds: float
    invalid_documents: int
    paused: int
    def __init__(self, version: _Optional[int] = ..., sync_lag_seconds: _Optional[float] = ..., invalid_documents: _Optional[int] = ..., paused: _Optional[int] = ...) -> None: ...

class ProcessStatus(_message.Message):
    __slots__ = ("id", "role", "host", "pid", "version", "uptime_seconds", "heartbeat_age_seconds", "silent", "rules_version", "rules_version_age_seconds", "lag_seconds", "in_flight", "rates")
    class RatesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    RULES_VERSION_FIELD_NUMBER: _ClassVar[int]
    RULES_VERSION_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LAG_SECONDS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    id: str
    role: str
    host: str
    pid: int
    version: str
    uptime_seconds: float
    heartbeat_age_seconds: float
    silent: bool
    rules_version: int
    rules_version_age_seconds: float
    lag_seconds: float
    in_flight: int
    rates: _containers.ScalarMap[str, float]
    def __init__(self, id: _Optional[str] = ..., role: _Optional[str] = ..., host: _Optional[str] = ..., pid: _Optional[int] = ..., version: _Optional[str] = ..., uptime_seconds: _Optional[float] = ..., heartbeat_age_seconds: _Optional[float] = ..., silent: _Optional[bool] = ..., rules_version: _Optional[int] = ..., rules_version_age_seconds: _Optional[float] = ..., lag_seconds: _Optional[float] = ..., in_flight: _Optional[int] = ..., rates: _Optional[_Mapping[str, float]] = ...) -> None: ...

class AppServerStatus(_message.Message):
    __slots__ = ("app_server", "breakers", "breakers_open")
    APP_SERVER_FIELD_NUMBER: _ClassVar[int]
    BREAKERS_FIELD_NUMBER: _ClassVar[int]
    BREAKERS_OPEN_FIELD_NUMBER: _ClassVar[int]
    app_server: str
    breakers: int
    breakers_open: int
    def __init__(self, app_server: _Optional[str] = ..., breakers: _Optional[int] = ..., breakers_open: _Optional[int] = ...) -> None: ...

class StoreStatus(_message.Message):
    __slots__ = ("store", "reachable", "version", "used_memory_bytes", "max_memory_bytes", "disk_free_bytes", "disk_total_bytes", "problems", "topics")
    STORE_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    USED_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    store: str
    reachable: bool
    version: str
    used_memory_bytes: int
    max_memory_bytes: int
    disk_free_bytes: int
    disk_total_bytes: int
    problems: _containers.RepeatedScalarFieldContainer[str]
    topics: _containers.RepeatedCompositeFieldContainer[TopicStatus]
    def __init__(self, store: _Optional[str] = ..., reachable: _Optional[bool] = ..., version: _Optional[str] = ..., used_memory_bytes: _Optional[int] = ..., max_memory_bytes: _Optional[int] = ..., disk_free_bytes: _Optional[int] = ..., disk_total_bytes: _Optional[int] = ..., problems: _Optional[_Iterable[str]] = ..., topics: _Optional[_Iterable[_Union[TopicStatus, _Mapping]]] = ...) -> None: ...

class TopicStatus(_message.Message):
    __slots__ = ("topic", "lag", "partitions", "partitions_read")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_READ_FIELD_NUMBER: _ClassVar[int]
    topic: str
    lag: int
    partitions: int
    partitions_read: int
    def __init__(self, topic: _Optional[str] = ..., lag: _Optional[int] = ..., partitions: _Optional[int] = ..., partitions_read: _Optional[int] = ...) -> None: ...
