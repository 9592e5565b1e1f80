"""The part of a rule that says which requests it is about."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from app.rules.field_types import ClaimName, ClaimValues, Method, PathPrefix, StrictModel


class MatchConditions(StrictModel):
    """The requests to which a rule applies; all of a caller's requests if nothing is given."""

    methods: Annotated[list[Method], Field(max_length=32)] | None = None
    """HTTP methods, in any case; they are stored in upper case. `GET` covers `HEAD`. Default: every method."""
    path_prefix: PathPrefix | None = None
    """`/api` and `/api/` match `/api` and every path below `/api/`, however the path is spelled: percent-encoded or
    not, with repeated slashes or without. Never a regular expression, and without a query. Default: every path.
    """
    claims: Annotated[dict[ClaimName, ClaimValues], Field(min_length=1, max_length=16)] | None = None
    """Claims of the verified token, such as `{plan: pro}`: each must have this value, or one of a list of values. A
    caller without a token has no claims. Default: whatever the claims are.
    """
    anonymous: bool | None = None
    """`true`: only callers without a token. `false`: only callers with one. Default: both."""

    @field_validator("claims")
    @classmethod
    def _storable(cls, claims: dict[str, ClaimValues] | None) -> dict[str, ClaimValues] | None:
        """Refuse a number that MongoDB cannot hold, or only a rounded one, which would equal no claim."""
        for name, value in (claims or {}).items():
            for one in value if isinstance(value, list) else [value]:
                if not isinstance(one, str) and not -(2**63) <= one < 2**63:
                    raise ValueError(f"{name}: a number of more than 64 bits must be written as a text")
        return claims

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.anonymous and self.claims:
            raise ValueError("claims: callers without a token have none")
        return self
