"""Pages of the rules in MongoDB: searched, sorted, and stable while rules come and go."""

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from bson.raw_bson import RawBSONDocument

from app.clients import MongoDatabase
from app.rules.documents import PROJECTION, RAW, RuleDocument, read_document
from app.rules.listing_order import Place, RuleOrder, Stretch, is_nan, order_of
from app.rules.model import Rule
from app.rules.store import COLLECTION, mongodb_errors

Order = Literal["id", "-id", "priority", "-priority", "updated_at", "-updated_at"]
"""By what rules are sorted; with `-` the greatest first."""

MAX_LOOKED_AT = 5_000
"""How many documents a page of a search looks at, so that its time does not grow with the number of rules."""

SEARCHED = ("_id", "key_type", "key_value", "match.path_prefix", "updated_by")
_TEXT = {"$type": "string"}


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
    paused: bool | None = None

    @property
    def is_filtered(self) -> bool:
        """Whether documents are left out."""
        return (self.search, self.key_type, self.key_value, self.paused) != (None, None, None, None)


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

        A page of a search may have fewer, and even none, although others follow: at most MAX_LOOKED_AT documents are
        looked at. The last page of all rules has also the documents whose ids are no text, at most as many.
        """
        with mongodb_errors():
            page = await self._page(query, order_of(query.order))
            if page.next is None and not query.is_filtered:
                strange = {"_id": {"$not": _TEXT}}
                async for found in self._documents.find(strange, PROJECTION).sort("_id").limit(query.limit):
                    _add(page, found)
        return page

    async def _page(self, query: RuleQuery, order: RuleOrder) -> RulePage:
        """Go from stretch to stretch until the page is full, or enough has been looked at."""
        page, count, cursor = RulePage([], [], None), 0, ""
        conditions, is_bounded = _conditions(query), await self._finds_many(query)
        for stretch in order.stretches(query.after):
            end = await self._place_of_last(stretch, order) if is_bounded else None
            for part in [stretch] if end is None else order.until(stretch, end):
                for found in await self._found(part, conditions, order, query.limit + 1 - count):
                    if count == query.limit:
                        return page._replace(next=cursor)
                    count += 1
                    _add(page, found)
                    cursor = order.cursor(_place(found), cursor)
            if end is not None:
                return page._replace(next=order.cursor(end, cursor))
        return page

    async def _finds_many(self, query: RuleQuery) -> bool:
        """Whether what an index finds is not few, so that a page looks at a bounded number of documents instead."""
        if not query.is_filtered:
            return False
        exact = _exact(query)
        if not exact:
            return True
        narrowest = dict(exact[-1:])
        return await self._rules.count_documents(narrowest, limit=MAX_LOOKED_AT + 1) > MAX_LOOKED_AT

    async def _place_of_last(self, stretch: Stretch, order: RuleOrder) -> Place | None:
        """The place of the last document of a stretch that one page may look at; None if it may look at all."""
        projection = {"_id": 0, "documentKey": PROJECTION["documentKey"], "order": order.value}
        cursor = self._documents.find(stretch.found_by, projection).sort(stretch.sort)
        found = await cursor.skip(MAX_LOOKED_AT - 1).limit(1).to_list(None)
        return _place(found[0]) if found else None

    async def _found(
        self, stretch: Stretch, conditions: list[dict[str, Any]], order: RuleOrder, limit: int
    ) -> list[RawBSONDocument]:
        """The first documents of a stretch that meet the conditions."""
        projection = PROJECTION | {"order": order.value}
        found: list[RawBSONDocument] = []
        for query in (stretch.found_by, stretch.also):
            if query is not None:
                wanted = self._documents.find({"$and": [query, *conditions]}, projection)
                found += await wanted.sort(stretch.sort).limit(limit).to_list(None)
        return found if stretch.also is None else sorted(found, key=lambda one: _place(one).document_id)[:limit]


def _place(found: RawBSONDocument) -> Place:
    value = found["order"]
    return Place(0 if is_nan(value) else value, found["documentKey"]["_id"])


def _add(page: RulePage, found: RawBSONDocument) -> None:
    document = read_document(found)
    if document is not None:
        page.add(document)


def _exact(query: RuleQuery) -> list[tuple[str, str | bool]]:
    """The exact values that are asked for, the one that finds fewer documents last: an index has only paused rules."""
    exact = {"key_type": query.key_type, "key_value": query.key_value, "paused": query.paused or None}
    return [(name, value) for name, value in exact.items() if value is not None]


def _conditions(query: RuleQuery) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{name: value} for name, value in _exact(query)]
    if query.paused is False:
        found.append({"paused": {"$ne": True}})
    if query.search is not None:
        text = {"$regex": re.escape(query.search), "$options": "i"}
        found.append({"$or": [{name: text} for name in SEARCHED]})
    return found
