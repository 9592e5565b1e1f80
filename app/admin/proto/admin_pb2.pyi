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
    __slots__ = ("rule_id", "key_type", "key_value", "secret", "action", "limit", "window_seconds", "burst", "algorithm", "limits", "headroom_ms", "concurrency", "fixed_cost", "variable_cost", "priority", "enabled", "match", "on_limit", "drain", "paused", "queue", "shadow", "on_store_failure", "version", "updated_at", "updated_by")
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
    def __init__(self, rule_id: _Optional[str] = ..., key_type: _Optional[_Iterable[str]] = ..., key_value: _Optional[_Iterable[str]] = ..., secret: _Optional[bool] = ..., action: _Optional[str] = ..., limit: _Optional[int] = ..., window_seconds: _Optional[float] = ..., burst: _Optional[int] = ..., algorithm: _Optional[str] = ..., limits: _Optional[_Iterable[_Union[RuleLimit, _Mapping]]] = ..., headroom_ms: _Optional[int] = ..., concurrency: _Optional[int] = ..., fixed_cost: _Optional[int] = ..., variable_cost: _Optional[_Union[VariableCost, _Mapping]] = ..., priority: _Optional[int] = ..., enabled: _Optional[bool] = ..., match: _Optional[_Union[MatchConditions, _Mapping]] = ..., on_limit: _Optional[str] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., paused: _Optional[bool] = ..., queue: _Optional[_Union[QueueOptions, _Mapping]] = ..., shadow: _Optional[bool] = ..., on_store_failure: _Optional[str] = ..., version: _Optional[int] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_by: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("limit", "after")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    limit: int
    after: str
    def __init__(self, limit: _Optional[int] = ..., after: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("rule", "update_mask", "etag")
    RULE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    rule: Rule
    update_mask: _field_mask_pb2.FieldMask
    etag: str
    def __init__(self, rule: _Optional[_Union[Rule, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("rule_id", "policy", "descriptor", "action", "shadow", "refuses", "limit", "window_seconds", "headroom_ms", "burst", "algorithm", "cost", "on_limit", "remaining", "in_flight", "wait_seconds", "backlog")
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
    def __init__(self, rule_id: _Optional[str] = ..., policy: _Optional[str] = ..., descriptor: _Optional[str] = ..., action: _Optional[str] = ..., shadow: _Optional[bool] = ..., refuses: _Optional[bool] = ..., limit: _Optional[int] = ..., window_seconds: _Optional[float] = ..., headroom_ms: _Optional[int] = ..., burst: _Optional[int] = ..., algorithm: _Optional[str] = ..., cost: _Optional[int] = ..., on_limit: _Optional[str] = ..., remaining: _Optional[int] = ..., in_flight: _Optional[int] = ..., wait_seconds: _Optional[float] = ..., backlog: _Optional[bool] = ...) -> None: ...
