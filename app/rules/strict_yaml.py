"""YAML that means what it says: the core schema of YAML 1.2, and no key twice.

PyYAML reads YAML 1.1, in which `1:30` is ninety, `yes` is true, `2026-02-28` is a date, and the last of several equal
keys wins silently.
"""

import re
from collections.abc import Callable
from typing import Any, ClassVar

import yaml

_TAG = "tag:yaml.org,2002:"

_CORE_SCHEMA: tuple[tuple[str, str, str, Callable[[str], Any]], ...] = (
    # YAML 1.2.2, 10.3.2: the type, what is written so, the characters with which it begins, and how it is read
    ("null", r"null|Null|NULL|~|", "nN~", lambda _: None),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF", lambda text: text.lower() == "true"),
    ("int", r"[-+]?[0-9]+", "-+0123456789", int),
    ("int", r"0o[0-7]+", "0", lambda text: int(text, 8)),
    ("int", r"0x[0-9a-fA-F]+", "0", lambda text: int(text, 16)),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789", float),
    ("float", r"[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN", "-+.", lambda text: float(text.replace(".", "", 1))),
)


class InvalidYaml(ValueError):
    """What is wrong, and where: lines and columns are counted from 1."""

    def __init__(self, problem: str, line: int = 1, column: int = 1) -> None:
        super().__init__(problem)
        self.line = line
        self.column = column


def parse_yaml(text: str) -> Any:  # noqa: ANN401 - any value
    """Parse one document, of which JSON is a subset. Raises InvalidYaml."""
    try:
        return yaml.load(text, _CoreLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise InvalidYaml(error.problem or error.context or "it is not YAML", line, column) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        raise InvalidYaml(error.reason, before.count("\n") + 1, len(before) - before.rfind("\n")) from error
    except RecursionError as error:
        raise InvalidYaml("it is nested too deeply") from error


class _CoreLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen as the module loads
    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}
    yaml_constructors: ClassVar[dict[str | None, Any]] = {}


def _construct_text(loader: Any, node: yaml.ScalarNode) -> str:  # noqa: ANN401 - PyYAML's loaders share no typed base
    return str(loader.construct_scalar(node))


def _construct_core(loader: Any, node: yaml.ScalarNode) -> Any:  # noqa: ANN401
    text = loader.construct_scalar(node)
    for name, pattern, _, read in _CORE_SCHEMA:
        if node.tag == _TAG + name and re.fullmatch(pattern, text):
            try:
                return read(text)
            except ValueError as error:  # an integer of thousands of digits
                problem = "the number has too many digits"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error
    raise yaml.constructor.ConstructorError(None, None, f"it is no {node.tag.removeprefix(_TAG)}", node.start_mark)


def _construct_list(loader: Any, node: yaml.SequenceNode) -> list[Any]:  # noqa: ANN401
    return [loader.construct_object(item, deep=True) for item in node.value]


def _construct_object(loader: Any, node: yaml.MappingNode) -> dict[str, Any]:  # noqa: ANN401
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(None, None, "a key must be text", key_node.start_mark)
        if key in found:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} occurs twice", key_node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


def _refuse_tag(_: Any, node: yaml.Node) -> Any:  # noqa: ANN401
    raise yaml.constructor.ConstructorError(None, None, f"the tag {node.tag} is not supported", node.start_mark)


for _name, _pattern, _first, _ in _CORE_SCHEMA:
    _CoreLoader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), [*_first])
    _CoreLoader.add_constructor(_TAG + _name, _construct_core)
_CoreLoader.add_implicit_resolver(_TAG + "null", re.compile(r"^$"), [""])
_CoreLoader.add_constructor(_TAG + "str", _construct_text)
_CoreLoader.add_constructor(_TAG + "seq", _construct_list)
_CoreLoader.add_constructor(_TAG + "map", _construct_object)
_CoreLoader.add_constructor(None, _refuse_tag)
