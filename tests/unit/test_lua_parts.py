"""A script gets the functions that it calls, directly or through others, and no others."""

from app.redis_wire.lua_parts import join_lua_parts, parse_lua_part

PART = """\
-- USES _names _algorithm_*
local limit = 5

local function first()
  return second()
end

local function second()
  return limit
end

-- third() and fourth() call each other, and nothing calls either of them.
local function third()
  return fourth()
end

local function fourth()
  return fourth() and third()
end

local function fifth() -- which
  return 5
end
"""


def test_a_part_names_what_it_uses_and_keeps_its_text() -> None:
    part = parse_lua_part(PART)
    assert part.uses == ("_names", "_algorithm_*")
    assert "".join(section.text for section in part.sections) == PART
    assert [section.name for section in part.sections if section.name] == [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
    ]


def test_functions_that_only_unused_functions_and_comments_name_are_left_out() -> None:
    script = parse_lua_part("return first() -- and not fifth()\n")
    joined = join_lua_parts([parse_lua_part(PART), script])
    for name in ("first", "second"):
        assert f"local function {name}()" in joined
    for name in ("third", "fourth", "fifth"):
        assert f"local function {name}()" not in joined
    assert joined.startswith("-- USES _names _algorithm_*\nlocal limit = 5\n")
    assert joined.endswith("\nreturn first() -- and not fifth()\n")


def test_two_functions_of_one_name_keep_what_each_of_them_calls() -> None:
    texts = [
        "local function inner()\nend\n",
        "local function twice()\n  inner()\nend\n",
        "local function twice()\nend\n",
        "twice()\n",
    ]
    assert join_lua_parts(map(parse_lua_part, texts)) == "\n".join(texts)
