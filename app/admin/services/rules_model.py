"""Which rules operators ask for: the same for both faces."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.rules.bounds import MAX_VERSION
from app.rules.field_types import RuleId
from app.rules.listing import Order, RuleQuery

MAX_PAGE_SIZE = 1000

Text = Annotated[str, Field(max_length=256, pattern="^[^\\x00]*$")]
DocumentId = Annotated[
    str,
    Field(
        max_length=1024,
        description="The id of a rule, or of a document that was written by hand and is not a rule.",
    ),
]
PageSize = Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)]
Version = Annotated[int, Field(ge=1, le=MAX_VERSION)]


class RuleSearch(BaseModel):
    """Which rules to list, and in which order."""

    model_config = ConfigDict(frozen=True)

    search: Text | None = Field(None, description="A text in the id, the key, the path or who changed the rule.")
    key_type: Text | None = None
    key_value: Text | None = None
    paused: bool | None = None
    sort: Annotated[Order, Field(description="With `-` the greatest first.")] = "id"
    limit: PageSize = MAX_PAGE_SIZE
    after: Annotated[str, Field(max_length=1024)] = ""

    def as_query(self) -> RuleQuery:
        """Return the search as the listing of rules takes it."""
        return RuleQuery(self.search, self.key_type, self.key_value, self.sort, self.limit, self.after, self.paused)


class NamedRule(BaseModel):
    """A rule that a request names. Fields that say more about it are not looked at here."""

    rule_id: RuleId
