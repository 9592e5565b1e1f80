"""Pages of the rules in MongoDB: searched, sorted, and stable while rules come and go."""

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from bson.int64 import Int64

from app.clients import MongoDatabase
from app.errors import InvalidInput
from app.rules.documents import PROJECTION, RAW, RuleDocument, read_document
from app.rules.model import Rule
from app.rules.store import COLLECTION, mongodb_errors

Order = Literal["id", "-id", "priority", "-priority", "updated_at", "-updated_at"]
"""By what rules are sorted; with `-` the greatest first."""

MAX_CURSOR_LENGTH = 256
SEARCHED = ("_id", "key_type", "key_value", "match.path_prefix", "updated_by")
_CURSOR = re.compile("(-?[0-9]{1,19}):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RuleQuery:
    """Which rules to list, in which order. `search` is a text that an id, a key, a path or a name contains.

    `after` is the `next` of the page before, and empty for the first page.
    """

    search: str | None = None
    key_type: str | None = None
    key_value: str | None = None
    order: Order = "id"
    limit: int = 1000
    after: str = ""

    @property
    def is_filtered(self) -> bool:
        """Whether documents are left out."""
        return (self.search, self.key_type, self.key_value) != (None, None, None)


class RulePage(NamedTuple):
    """Some rules, and the documents among them that are not valid rules.

    `next` is the cursor to go on after; None: these are the last.
    """

    rules: list[Rule]
    invalid: list[RuleDocument]
    next: str | None

    def add(self, document: RuleDocument) -> None:
        """Add a document, whichever of them it is."""
        if document.rule is not None:
            self.rules.append(document.rule)
        else:
            self.invalid.append(document)


class RuleListing:
    """Lists rules. Methods raise RulesUnavailable."""

    def __init__(self, database: MongoDatabase) -> None:
        self._rules = database[COLLECTION]
        self._documents = database.get_collection(COLLECTION, codec_options=RAW)

    async def page(self, query: RuleQuery) -> RulePage:
        """Return up to `query.limit` documents behind `query.after`. Raises InvalidInput for a wrong cursor.

        The last page of all rules has also the documents whose ids are no strings, at most as many.
        """
        with mongodb_errors():
            by_id = query.order.endswith("id")
            page = await (self._page_by_id(query) if by_id else self._page_by_field(query))
            if page.next is None and not query.is_filtered:
                strange = {"_id": {"$not": {"$type": "string"}}}
                async for found in self._documents.find(strange, PROJECTION).sort("_id").limit(query.limit):
                    _add(page, found)
        return page

    async def _page_by_id(self, query: RuleQuery) -> RulePage:
        page, count, last = RulePage([], [], None), 0, query.after
        descending = query.order == "-id"
        bound = {("$lt" if descending else "$gt"): query.after} if query.after or not descending else {}
        behind = {"$and": [{"_id": {"$type": "string", **bound}}, *_conditions(query)]}
        direction = -1 if descending else 1
        async for found in self._documents.find(behind, PROJECTION).sort("_id", direction).limit(query.limit + 1):
            count += 1
            if count > query.limit:
                return page._replace(next=last)
            document = _add(page, found)
            if document is not None and descending:
                last = str(document.key.value)[:MAX_CURSOR_LENGTH]
            elif document is not None:
                last = max(last, _cursor(document.key.value))
        return page

    async def _page_by_field(self, query: RuleQuery) -> RulePage:
        """Sort the ids by the field, which MongoDB does in a few bytes of memory for each rule, then read a page."""
        field = query.order.lstrip("-")
        is_descending = query.order.startswith("-")
        order = {"$convert": {"input": f"${field}", "to": "long", "onError": 0, "onNull": 0}}
        pipeline: list[dict[str, Any]] = [
            {"$match": {"$and": [{"_id": {"$type": "string"}}, *_conditions(query)]}},
            {"$project": {"order": order}},
            *_behind(query.after, "$lt" if is_descending else "$gt"),
            {"$sort": {"order": -1 if is_descending else 1, "_id": 1}},
            {"$limit": query.limit + 1},
        ]
        sorted_ids = [(one["order"], one["_id"]) async for one in self._rules.aggregate(pipeline)]
        listed = sorted_ids[: query.limit]
        following = None
        if len(sorted_ids) > query.limit:
            value, last = listed[-1]
            following = f"{value}:{_cursor(last)}"
        page, by_id = RulePage([], [], following), {}
        async for found in self._documents.find({"_id": {"$in": [one for _, one in listed]}}, PROJECTION):
            by_id[found["documentKey"]["_id"]] = found
        for _, document_id in listed:
            if document_id in by_id:  # it may have been deleted since
                _add(page, by_id[document_id])
        return page


def _add(page: RulePage, found: Any) -> RuleDocument | None:  # noqa: ANN401 - a raw document
    document = read_document(found)
    if document is not None:
        page.add(document)
    return document


def _conditions(query: RuleQuery) -> list[dict[str, Any]]:
    exact = {"key_type": query.key_type, "key_value": query.key_value}
    found: list[dict[str, Any]] = [{name: value} for name, value in exact.items() if value is not None]
    if query.search is not None:
        text = {"$regex": re.escape(query.search), "$options": "i"}
        found.append({"$or": [{name: text} for name in SEARCHED]})
    return found


def _behind(after: str, further: str) -> list[dict[str, Any]]:
    """What a page begins behind: the value of the field and the id of the last rule. Raises InvalidInput."""
    if not after:
        return []
    match = _CURSOR.fullmatch(after)
    if match is None or not -(2**63) <= int(match[1]) < 2**63:
        raise InvalidInput("after: must be the `next` of a page in the same order.")
    value = Int64(match[1])
    return [{"$match": {"$or": [{"order": {further: value}}, {"order": value, "_id": {"$gt": match[2]}}]}}]


def _cursor(document_id: str) -> str:
    """Where the next page begins. An id that no rule can have may be of any length, and the cursor is a parameter."""
    return document_id if len(document_id) <= MAX_CURSOR_LENGTH else document_id[: MAX_CURSOR_LENGTH - 1] + "\U0010ffff"
