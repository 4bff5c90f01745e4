"""Letters out of bytes: certain, or asked for."""

import io

import pytest

from conveyor.tables.encodings import encoding_of, shown
from conveyor.tables.errors import Uncertain

FRENCH = "sku,name\nA-1,Crème brûlée à la française\nA-2,Bœuf énervé\nA-3,Garçon naïf\n"
POLISH = "sku,name\nB-1,Żółta łódź\nB-2,Gęś i jaźń\nB-3,Świeża ćma\n"
JAPANESE = "sku,name\nC-1,木の机\nC-2,茶わん\nC-3,うちわ\nC-4,表示板ソ\n"
RUSSIAN = "sku,name\nD-1,Чайник большой\nD-2,Ложка для обуви\n"


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (FRENCH.encode(), "utf-8"),
        (FRENCH.encode("utf-8-sig"), "utf-8-sig"),
        (FRENCH.encode("utf-16"), "utf-16"),
        (FRENCH.encode("utf-32"), "utf-32"),
        (FRENCH.encode("utf-16-le"), "utf-16-le"),
        (b"sku,name\nA,plain\n", "utf-8"),
    ],
)
def test_utf_8_and_what_its_mark_says_are_certain(raw: bytes, name: str) -> None:
    assert encoding_of(io.BytesIO(raw)).name == name


@pytest.mark.parametrize(
    ("text", "name", "word"),
    [
        (FRENCH, "cp1252", "Crème brûlée"),
        ("sku,price\nA,£2.50\nB,£3\n", "cp1252", "£2.50"),
        ("sku,price\nA,2.50 €\nB,the 5” one\n", "cp1252", "2.50 €"),
        (POLISH, "iso8859-2", "Żółta łódź"),
        (POLISH, "cp1250", "Żółta łódź"),
        (JAPANESE, "cp932", "木の机"),
        (JAPANESE, "euc_jp", "木の机"),
        (JAPANESE, "iso2022_jp", "木の机"),
        (RUSSIAN, "cp1251", "Чайник большой"),
        (RUSSIAN, "koi8-r", "Чайник большой"),
    ],
)
def test_what_is_not_utf_8_is_asked_for_and_the_right_reading_is_among_those_shown(text, name, word) -> None:
    file = io.BytesIO(text.encode(name))
    with pytest.raises(Uncertain, match="Say --encoding NAME") as asked:
        encoding_of(file)
    readings = {line.split()[1] for line in asked.value.shown}
    assert 1 <= len(readings) <= 3
    assert any(word in line for line in asked.value.shown), asked.value.shown
    assert encoding_of(file, name).name == name


@pytest.mark.parametrize(("text", "name"), [(JAPANESE, "cp932"), ("sku,name\nA,木头椅子\nB,热水茶杯\n", "gb18030")])
def test_the_everyday_reading_of_several_is_shown_first(text: str, name: str) -> None:
    assert shown(io.BytesIO(text.encode(name)))[0].split()[1] == name


def test_each_reading_is_of_lines_with_letters_above_127() -> None:
    assert {line.split("line ")[1].split(":")[0] for line in shown(io.BytesIO(FRENCH.encode("cp1252")))} == {
        "2",
        "3",
        "4",
    }


def test_an_encoding_that_cannot_read_every_byte_is_not_taken() -> None:
    for name, wrong in (("utf-8", b"a\nb\xff\n"), ("cp932", b"a\nb\x82\n"), ("ascii", b"a\n\xc3\xa9\n")):
        with pytest.raises(Uncertain, match=r"line 2 has the byte"):
            encoding_of(io.BytesIO(wrong), name)


def test_a_broken_byte_far_down_is_found() -> None:
    with pytest.raises(Uncertain, match="line 400001 has the byte 0xe9"):
        encoding_of(io.BytesIO(b"plain\n" * 400_000 + b"caf\xe9\n"))


def test_a_codec_that_is_none_for_text_is_none() -> None:
    for name in ("base64", "nothing-of-the-kind"):
        with pytest.raises(LookupError):
            encoding_of(io.BytesIO(b"a"), name)
