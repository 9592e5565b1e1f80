"""How pydantic's errors are told to whoever sent what is not valid."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from app.web.excerpt import one_line

UNKNOWN_FIELD = "extra_forbidden"

UNION_TAG = "|"
"""The tags of a union's members begin with it. They are no fields, so problems do not name them."""


def first_problem(error: ValidationError) -> str:
    """Describe one problem. An unknown field comes first: it may be the misspelled name of one that is missing."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return problem_text(min(problems, key=lambda problem: problem["type"] != UNKNOWN_FIELD))


def problem_text(problem: Mapping[str, Any]) -> str:
    """Describe a problem as pydantic lists it: where it is, and what is wrong there, in one line."""
    fields = [str(part) for part in problem["loc"]]
    where = one_line(".".join(field for field in fields if not field.startswith(UNION_TAG)))
    if problem["type"] == UNKNOWN_FIELD:
        return f"{where}: is not a known field"
    message = one_line(problem["msg"].removeprefix("Value error, "))
    return f"{where}: {message}" if where else message
