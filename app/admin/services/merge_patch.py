"""JSON merge patches (RFC 7396)."""

from typing import Any

from app.errors import InvalidInput


def merge_patch(target: Any, patch: Any) -> Any:  # noqa: ANN401 - JSON
    """Apply a JSON merge patch as RFC 7396, section 2, defines it. Raises InvalidInput for one that is too deep."""
    try:
        return _merged(target, patch)
    except RecursionError as error:
        raise InvalidInput("The patch is nested too deeply.") from error


def _merged(target: Any, patch: Any) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged
