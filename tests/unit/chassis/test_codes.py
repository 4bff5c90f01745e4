"""One normal form for what is a key, and nothing in it that cannot be seen."""

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from marshmallow import ValidationError

from chassis.codes import called, nfc, spellings, unseen
from chassis.errors import Invalid
from chassis.fields import Body, Code, Mail, Text
from chassis.idempotency import read_key

LETTERS = st.text(st.characters(categories=("L", "M", "N", "P", "S")), min_size=1, max_size=12)
UNSEEN = st.characters(categories=("Cc", "Cf", "Zl", "Zp", "Zs"), exclude_characters=" ")
IGNORABLE = st.sampled_from("\u034f\u115f\u1160\u17b4\u2065\u3164\uffa0\ufe0f\U000e0100\u180b")


class Form(Body):
    """A body with a key of each kind, and a text that is none."""

    sku = Code(most=64)
    email = Mail()
    name = Text(most=200)


def taken(field: str, given: str) -> str:
    return str(Form().load({field: given})[field])


def refusal(field: str, given: str) -> str:
    with pytest.raises(ValidationError) as refused:
        Form().load({field: given})
    [rule] = refused.value.messages_dict[field]
    return str(rule)


@given(LETTERS)
def test_a_key_is_the_same_in_whichever_form_it_comes(text: str) -> None:
    assume(not unseen(text))
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")] + [text]
    assert {taken("sku", each) for each in forms} == {nfc(text)}
    assert {read_key(each.encode().decode("latin-1")) for each in forms} == {nfc(text).encode().decode("latin-1")}


@given(LETTERS, UNSEEN | IGNORABLE, LETTERS)
def test_what_cannot_be_seen_is_refused_in_a_key_by_its_number(before: str, character: str, after: str) -> None:
    text = before + character + after
    assume(not unseen(before) and not unseen(after) and unseen(nfc(text)))
    number = f"U+{ord(nfc(character)[0]):04X}"  # U+2000 is U+2002, in the normal form
    assert unseen(nfc(text)) == called(nfc(character)[0])
    if unicodedata.category(character) != "Cc" or character in "\t\n\r":
        assert number in refusal("sku", text)
    assert refusal("sku", text)


@given(LETTERS, st.sampled_from("\u200c\u200d\ufe0f\u3000\xa0\u200f"), LETTERS)
def test_a_name_is_refused_for_no_letter_and_no_joiner(before: str, character: str, after: str) -> None:
    assert taken("name", before + character + after) == nfc(before + character + after)


@pytest.mark.parametrize("text", ["a\x00", "\ud800"])
def test_a_name_has_no_character_that_no_database_holds(text: str) -> None:
    assert refusal("name", text) == "Contains a character that cannot be stored."


@pytest.mark.parametrize("text", ["\u200b", "\u3164", "\u2800", "\xad\xad", " \u3000 ", "\ufeff"])
def test_a_name_that_cannot_be_seen_is_blank(text: str) -> None:
    assert refusal("name", text) == "Must not be blank."


def test_a_name_may_have_several_lines() -> None:
    assert taken("name", "Cup,\nblue\t(large)") == "Cup,\nblue\t(large)"


def test_the_rule_names_the_character() -> None:
    assert refusal("sku", "MUG\u00ad-K7").startswith("Must not hold U+00AD SOFT HYPHEN: ")
    assert refusal("email", "ada\u200b@example.com").startswith("Must not hold U+200B ZERO WIDTH SPACE: ")
    assert refusal("sku", "MUG\tK7").startswith("Must not hold U+0009 a control character: ")
    assert refusal("sku", " MUG") == refusal("sku", "MUG ") == "Must not begin or end with a blank."
    assert refusal("email", "ada@localhost") == "Not a valid email address."


def test_an_address_is_one_in_either_form() -> None:
    assert taken("email", "zoe\u0308@example.com") == "zo\u00eb@example.com"


def test_length_is_counted_in_the_normal_form() -> None:
    assert taken("sku", "e\u0301" * 64) == "\u00e9" * 64
    assert refusal("sku", "e\u0301" * 65) == "Length must be between 1 and 64."
    assert refusal("sku", "\u0958" * 33) == "Length must be between 1 and 64."  # it has no composed form of its own


def test_a_row_of_an_older_release_is_looked_for_in_each_spelling() -> None:
    assert spellings("MUG-K7") == ["MUG-K7"]
    assert spellings("CAFE\u0301") == ["CAF\u00c9", "CAFE\u0301"]
    assert spellings("\u212a7") == ["K7", "\u212a7"]


class TestIdempotencyKey:
    """As a header comes: its bytes as latin-1."""

    @pytest.mark.parametrize("header", ["a b", '"a b"'])
    def test_quotes_around_it_say_nothing(self, header: str) -> None:
        assert read_key(header) == "a b"

    def test_what_0_2_0_stored_is_found_again(self) -> None:
        """It stored the bytes as latin-1."""
        for sent in ("caf\u00e9".encode().decode("latin-1"), "caf\u00e9", "cart-4711"):
            assert read_key(sent) == sent

    @pytest.mark.parametrize("text", ["a\u200bb", "a\u00a0b", "a\u00adb", "a\u202eb", "a\tb", "\u0416" * 256, ""])
    def test_what_cannot_be_seen_is_refused(self, text: str) -> None:
        with pytest.raises(Invalid, match="must be 1 to 255 printable characters") as refused:
            read_key(text.encode().decode("latin-1"))
        assert refused.value.errors[0]["field"] == "Idempotency-Key"

    def test_letters_of_any_script_are_printable(self) -> None:
        """0.2.0 took some of their bytes for control characters."""
        assert read_key("\u0437\u0430\u043a\u0430\u0437-1".encode().decode("latin-1"))
