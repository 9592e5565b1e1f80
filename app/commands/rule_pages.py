"""Splits what `penstock rules apply` writes into requests, each of which is one transaction."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.commands.admin_client import AdminClient
from app.rules.bounds import MAX_RULES_AT_ONCE

MAX_PAGE_BYTES = 900_000
"""The admin API accepts bodies of 1 MiB."""

Outcome = dict[str, Any]
Page = dict[str, list[Any]]


def pages(rules: Sequence[dict[str, Any]], surplus: Sequence[tuple[str, Mapping[str, str]]]) -> Iterator[Page]:
    """Return the bodies of the requests: the rules in their order, then what is to be deleted."""
    page: Page = {"rules": []}
    size = 0
    for fields in rules:
        length = len(json.dumps(fields))
        if page["rules"] and (len(page["rules"]) == MAX_RULES_AT_ONCE or size + length > MAX_PAGE_BYTES):
            yield page
            page, size = {"rules": []}, 0
        page["rules"].append(fields)
        size += length
    if page["rules"]:
        yield page
    for first in range(0, len(surplus), MAX_RULES_AT_ONCE):
        deletions: Page = {}
        for _, named in surplus[first : first + MAX_RULES_AT_ONCE]:
            for kind, name in named.items():
                deletions.setdefault(kind, []).append(name)
        yield deletions


def applied(
    client: AdminClient, page: Page, *, dry_run: bool = False, would_be: Sequence[Outcome] = ()
) -> list[Outcome]:
    """Write a page, or with `dry_run` only ask what would be done, and return what was done with each rule.

    A request whose answer was lost may have been done. Then its repetition finds nothing left to do, and what the dry
    run expected (`would_be`) is what was done.
    """
    query = {"dry_run": "true"} if dry_run else None
    answer, again = client.call_repeatedly("PUT", "rules", body=page, query=query)
    outcomes: list[Outcome] = answer["outcomes"]
    if not again or len(would_be) != len(outcomes):
        return outcomes
    nothing_left = {"unchanged", "missing"}
    return [before if now["outcome"] in nothing_left else now for now, before in zip(outcomes, would_be, strict=True)]
