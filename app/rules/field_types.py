"""The types of single fields of a rule: which values they take, and what is said about others."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from app.limiter.algorithms import LIMIT_ALGORITHMS
from app.rules.bounds import MAX_UNITS, MAX_WINDOW_S, MIN_WINDOW_S
from app.web.headers import from_upstream
from app.web.paths import prefix_form

MAX_CLAIM_LENGTH = 1024
"""Characters of a claim's value that a rule asks for."""

MAX_CONCURRENCY = 10_000
"""The highest `concurrency`: the cache Redis holds an entry for each request in flight."""

_TOKEN = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$"  # RFC 9110, 5.6.2


def _valid_token(value: str) -> str:
    if not re.fullmatch(_TOKEN, value):
        raise ValueError("must be an HTTP token")
    return value


def _valid_answer_header(value: str) -> str:
    _valid_token(value)
    name = value.lower().encode()
    if name == b"content-length" or not from_upstream([(name, b"")]):
        raise ValueError("must be a header that is passed on as the app server wrote it")
    return value


def _valid_method(value: str) -> str:
    return _valid_token(value).upper()


def _valid_prefix(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("must begin with a slash")
    prefix_form(value)
    return value


def _known_algorithm(value: str) -> str:
    if value not in LIMIT_ALGORITHMS:
        raise ValueError(f"must be {' or '.join(map(repr, LIMIT_ALGORITHMS))}")
    return value


def _integral(value: Any) -> Any:  # noqa: ANN401 - whatever a document holds
    """Read 5.0 as 5, because some MongoDB shells write every number as a double."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _not_zero(instead: str) -> BeforeValidator:
    """Refuse the number 0 with a message that names what to write in its place."""

    def check(value: Any) -> Any:  # noqa: ANN401 - whatever a document holds
        if value == 0 and not isinstance(value, bool):
            raise ValueError(f"must be at least 1: {instead}")
        return value

    return BeforeValidator(check)


RULE_ID_PATTERN = r"^[a-z0-9_-]{1,64}$"
RuleId = Annotated[str, StringConstraints(pattern=RULE_ID_PATTERN)]
AlgorithmName = Annotated[
    str, AfterValidator(_known_algorithm), Field(json_schema_extra={"enum": list(LIMIT_ALGORITHMS)})
]
INTEGRAL = BeforeValidator(_integral)
Units = Annotated[int, Field(ge=1, le=MAX_UNITS), INTEGRAL]
LimitUnits = Annotated[Units, _not_zero("to refuse every request, write action: block")]
DrainUnits = Annotated[Units, _not_zero("to send nothing, pause the rule")]
Seconds = Annotated[float, Field(ge=MIN_WINDOW_S, le=MAX_WINDOW_S, allow_inf_nan=False)]
HostName = Annotated[str, StringConstraints(max_length=253)]
Token = Annotated[str, AfterValidator(_valid_token), Field(json_schema_extra={"pattern": _TOKEN})]
AnswerHeader = Annotated[str, AfterValidator(_valid_answer_header), Field(json_schema_extra={"pattern": _TOKEN})]
Method = Annotated[str, AfterValidator(_valid_method), Field(json_schema_extra={"pattern": _TOKEN})]
PathPrefix = Annotated[
    str,
    StringConstraints(max_length=1024),
    AfterValidator(_valid_prefix),
    Field(json_schema_extra={"pattern": r"^/[^?#\\]*$"}),
]


ClaimName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
ClaimText = Annotated[str, StringConstraints(max_length=MAX_CLAIM_LENGTH)]
ClaimValue = ClaimText | bool | int | float
ClaimValues = ClaimValue | Annotated[list[ClaimValue], Field(min_length=1, max_length=64)]
Concurrency = Annotated[int, Field(ge=1, le=MAX_CONCURRENCY), INTEGRAL]


class StrictModel(BaseModel):
    """Refuses fields that it does not know and values of another type; never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)
