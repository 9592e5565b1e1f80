"""Field masks: a change of the fields that are named, whatever they hold."""

from collections.abc import Iterable
from typing import Any

from app.errors import InvalidInput

Fields = dict[str, Any]


def masked(old: Fields, new: Fields, paths: Iterable[str]) -> Fields:
    """Return `old` with what `new` has at these paths, such as `queue.max_depth`; what it does not have is removed.

    Raises InvalidInput for a path that leads into what is no object.
    """
    changed = _copied(old)
    for path in paths:
        *outer, last = path.split(".")
        target, source = changed, new
        for name in outer:
            target, source = target.setdefault(name, {}), source.get(name, {})
            if not isinstance(target, dict) or not isinstance(source, dict):
                raise InvalidInput(f"The mask has the path {path!r}, which leads into what is no object.")
        if last in source:
            target[last] = source[last]
        else:
            target.pop(last, None)
    return changed


def _copied(fields: Fields) -> Fields:
    return {name: _copied(value) if isinstance(value, dict) else value for name, value in fields.items()}
