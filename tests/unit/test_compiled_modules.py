"""What mypyc does not take, or does otherwise than Python, is not in the modules that it compiles (setup.py)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def compiled() -> list[str]:
    for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "HOT":
            return [str(name) for name in ast.literal_eval(node.value)]
    raise AssertionError("setup.py has no list HOT")


@pytest.mark.parametrize("module", compiled())
def test_a_compiled_module_has_nothing_that_mypyc_does_otherwise(module: str) -> None:
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert node.value.isascii() or node.value.encode(), "no surrogates in literals: it refuses to compile"
        if isinstance(node, ast.Attribute):
            assert node.attr != "__context__", "it leaves exceptions of others there"
