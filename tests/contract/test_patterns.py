"""What the documents say of a field is what the service does with it, also to a validator that is JavaScript's.

Every ``pattern`` is compiled and tried by Node with the flag ``u``, as JSON Schema has it, on the values at which
languages differ: blanks of either kind, line ends, digits of other scripts, halves of surrogate pairs.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from marshmallow import Schema, ValidationError

from chassis import patterns
from chassis.fields import Body, Id, Moment, Money
from chassis.settings import Settings
from gateway_app.openapi import merged

SERVICES = ("sales", "inventory", "delivery")
NOWHERE = "postgresql://nobody:nothing@127.0.0.1:9/none"
SETTINGS = Settings(sales_database_url=NOWHERE, inventory_database_url=NOWHERE, delivery_database_url=NOWHERE)

#: Asks: [[pattern, [text, ...]], ...] as JSON. Answers: which texts each pattern finds itself in.
PROGRAM = """
let asked = '';
process.stdin.on('data', piece => asked += piece).on('end', () => {
  const tried = ([pattern, texts]) => texts.map(each => new RegExp(pattern, 'u').test(each));
  console.log(JSON.stringify(JSON.parse(asked).map(tried)));
});
"""

#: Put before, behind and within an ordinary value of each field.
ODD = [
    *(" ", "\t", "\n", "\r", "\r\n", "\x0b", "\x1c", "\x1f", "\x85", "\xa0", "\u1680", "\u180e", "\u200b", "\u2028"),
    *("\u2029", "\u3000", "\ufeff", "\x00", "\x01", "\x1b", "\x7f", "\x9f", "\ud800", "\udc00", "\U0001f600", "."),
    *("\xad", "\u034f", "\u115f", "\u200d", "\u202e", "\u2066", "\u2800"),
    *("\u3164", "\ufe0f", "\ufffd", "\U000e0041"),
    *("\u0301", "\u037e", "\u1fef"),
    *("_", "-", "+", "@", ",", "e2", "0", "\uff15", "\u0663", "\u00b2", "A", "\u00e9", "[", "\\", '"', "^", "`", "{"),
]
ORDINARY = ["Ada", "ada@example.com", "12.50", "0", "9999999999.99", "LAMP-BLUE", "ada@localhost", "x"]
TEXTS = [
    *("", *ORDINARY, *ODD),
    *(made for each in ORDINARY for odd in ODD for made in (odd + each, each + odd, each[:3] + odd + each[3:])),
    *("10000000000", "00", "1.005", "1.500000000", "a@b.c", "a@b.cd", "a@b..cd", "a@1.2.3.4", "a..b@c.de", ".a@c.de"),
    *("a" * 64, "a" * 65, "0." + "0" * 31, "a@b-.cd", "a@-b.cd", "a@b.c-", "a@b.-cd", "a@b.4d", "a@B.CD"),
]


def app_of(service: str) -> Flask:
    made: Flask = import_module(f"{service}.app").create_app(SETTINGS)
    return made


@pytest.fixture(scope="module")
def apps() -> dict[str, Flask]:
    return {name: app_of(name) for name in SERVICES}


@pytest.fixture(scope="module")
def documents(apps: dict[str, Flask]) -> dict[str, Any]:
    found = {name: each.test_client().get("/openapi.json").json for name, each in apps.items()}
    return {**found, "public": merged(found)}


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        missing = "needs Node: install nodejs"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    return found


def asked_of_node(node: str, patterns: list[str], texts: list[str]) -> list[list[bool]]:
    asked = json.dumps([[pattern, texts] for pattern in patterns])
    told = subprocess.run([node, "-e", PROGRAM], input=asked, capture_output=True, text=True, timeout=30, check=False)
    assert told.returncode == 0, told.stderr
    answers: list[list[bool]] = json.loads(told.stdout)
    return answers


def patterns_in(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("pattern"), str):
            yield part["pattern"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from patterns_in(each)


def bodies(kind: type[Schema] = Body) -> Iterator[type[Schema]]:
    for each in kind.__subclasses__():
        if each.__module__.split(".")[0] in SERVICES:
            yield each
        yield from bodies(each)


def test_node_finds_a_pattern_that_javascript_does_not_know(node: str) -> None:
    with pytest.raises(AssertionError, match="Invalid"):
        asked_of_node(node, [r"\S(.*\S)?\Z"], ["LAMP"])


def test_what_cannot_be_seen_is_what_unicode_says_of_it(node: str) -> None:
    """In Node's own tables, which are newer than those of Python 3.11."""
    kinds = r"\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cf}\p{Zs}\p{Zl}\p{Zp}\p{Bidi_Control}"
    planes = [*range(0x20000), *range(0xE0000, 0xF0000)]  # those that have anything but ideographs and private use
    texts = [chr(each) for each in planes if not 0xD800 <= each <= 0xDFFF and each != 0x20]
    by_unicode, by_us = asked_of_node(node, [f"[{kinds}]", f"[{patterns.UNSEEN}]"], texts)
    in_python = re.compile(f"[{patterns.UNSEEN}]")
    assert by_us == [in_python.match(each) is not None for each in texts]
    missed = [hex(ord(each)) for each, theirs, ours in zip(texts, by_unicode, by_us, strict=True) if theirs > ours]
    more = [ord(each) for each, theirs, ours in zip(texts, by_unicode, by_us, strict=True) if ours > theirs]
    assert (missed, more) == ([], [0x2800, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF])


@pytest.mark.parametrize("name", [*SERVICES, "public"])
def test_every_pattern_of_a_document_compiles_in_node(name: str, node: str, documents: dict[str, Any]) -> None:
    patterns = sorted(set(patterns_in(documents[name])))
    assert len(patterns) >= 1
    assert len(asked_of_node(node, patterns, ["LAMP"])) == len(patterns)


def test_a_text_is_taken_where_the_document_allows_it_and_nowhere_else(
    apps: dict[str, Flask], documents: dict[str, Any], node: str
) -> None:
    tried = set()
    for kind in bodies():
        service = kind.__module__.split(".")[0]
        described = documents[service]["components"]["schemas"].get(kind.__name__, {}).get("properties", {})
        for name, rules in described.items():
            if "pattern" not in rules:
                continue
            tried.add((kind.__name__, name))
            [fits] = asked_of_node(node, [rules["pattern"]], TEXTS)
            judge = Draft202012Validator({each: rules[each] for each in ("minLength", "maxLength") if each in rules})
            with apps[service].app_context():
                field = kind().fields[name]
                for text, fitting in zip(TEXTS, fits, strict=True):
                    taken = not _refused(field, text)
                    assert taken == (fitting and judge.is_valid(text)), (kind.__name__, name, text)
    assert {("NewProduct", "sku"), ("NewProduct", "price"), ("CustomerIn", "email"), ("Scan", "notes")} <= tried


def test_what_else_than_text_is_taken_where_the_document_allows_it(
    apps: dict[str, Flask], documents: dict[str, Any]
) -> None:
    """But for JSON numbers as amounts, which are taken beside the strings that the document asks for."""
    values = [None, True, False, 0, 1, -1, 100_000, 100_001, 10**9, 10**9 + 1, Decimal("1.5"), [], {}, [None], "1"]
    for kind in bodies():
        service = kind.__module__.split(".")[0]
        document = documents[service]
        described = document["components"]["schemas"].get(kind.__name__, {}).get("properties", {})
        for name, rules in described.items():
            judge = Draft202012Validator({**rules, "components": document["components"]})
            with apps[service].app_context():
                field = kind().fields[name]
                for value in values:
                    if isinstance(field, Money) and isinstance(value, int | Decimal):
                        continue
                    if "pattern" in rules and isinstance(value, str):
                        continue
                    as_json = float(value) if isinstance(value, Decimal) else value
                    taken = not _refused(field, value)
                    if isinstance(field, Id | Moment) and isinstance(value, str):
                        assert not taken
                        continue
                    assert taken == judge.is_valid(as_json), (kind.__name__, name, value)


def test_limits_that_are_settings_are_in_the_document() -> None:
    settings = Settings(sales_database_url=NOWHERE, max_order_lines=7, max_line_quantity=5)
    app = import_module("sales.app").create_app(settings)
    schemas = app.test_client().get("/openapi.json").json["components"]["schemas"]
    assert schemas["OrderIn"]["properties"]["items"]["maxItems"] == 7
    assert schemas["ItemIn"]["properties"]["quantity"]["maximum"] == 5


def test_every_field_of_a_request_is_one_that_checks_how_it_is_written() -> None:
    """A field of marshmallow's own would take numbers, ids and moments in Python's spellings."""
    strict = {"Text", "Shaped", "Code", "Mail", "Id", "WholeNumber", "Count", "Moment", "Money", "Several", "Nested"}
    strict |= {"Typed", "Flag"}
    listed = {"Enum", "Boolean", "String"}  # one of a few values, each written out
    found = {type(field).__name__ for kind in bodies() for field in kind().fields.values()}
    assert {"Text", "Code", "Mail", "Id", "WholeNumber", "Count", "Moment", "Money", "Several"} <= found
    assert found <= strict | listed


def _refused(field: Any, value: Any) -> bool:
    try:
        field.deserialize(value)
    except ValidationError:
        return True
    return False
