"""Which codes people take for one another, and which they do not."""

import unicodedata

import pytest
from confusable_homoglyphs import confusables
from hypothesis import assume, given
from hypothesis import strategies as st

from chassis.lookalikes import alike_before, difference, look_alike, looks

ASCII_CODES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=12)
#: Letters of scripts that have capitals, and those that have none.
CODES = st.text(st.characters(categories=("Lu", "Ll", "Lo", "Nd", "Pd")), min_size=1, max_size=12)

ALIKE_MUG_K7 = [
    "mug-k7",
    "Mug-K7",
    "\uff2d\uff35\uff27\uff0d\uff2b\uff17",  # full width
    "\u041cUG-K7",  # Cyrillic
    "\u043cug-k7",
    "\u039cUG-K7",  # Greek
    "m\u03c5g-k7",
    "\u13b7UG-K7",  # Cherokee
    "MUG-\ua4d77",  # Lisu
    "MUG-\u212a7",  # the sign of Kelvin
    "MUG-K\u0667",  # an Arabic seven
    "MUG-K\u06f7",
    "MUG-K\u096d",  # a seven of Devanagari
    "\U0001d40cUG-K7",  # mathematical bold
    "MUG\u2010K7",
    "MUG\u2013K7",
    "MUG\u2212K7",
    "MUG\u00ad-K7",  # as an older release may have stored it
    "MU\u200bG-K7",
    "MUG-K7\u202e",
]


@pytest.mark.parametrize("code", ALIKE_MUG_K7)
def test_what_looks_like_mug_k7(code: str) -> None:
    assert look_alike(code, "MUG-K7")


def test_a_letter_whose_capital_looks_like_another_letter_than_the_small_one_is_taken_for_either() -> None:
    assert look_alike("\u05e1-1", "O-1")  # the Hebrew samekh
    for code in ("\u03bdase", "\u039dASE"):  # the Greek nu
        assert look_alike(code, "VASE")
        assert look_alike(code, "NASE")
    assert not look_alike("VASE", "NASE")


@pytest.mark.parametrize(
    ("code", "other"),
    [
        ("CAP-L", "CAP-1"),
        ("CAP-I", "CAP-L"),
        ("S0", "SO"),
        ("CORN", "COM"),
        ("VV", "W"),
        ("CAF\u00c9", "CAFE"),
        ("\u0406-1", "L-1"),  # the Ukrainian I is a capital: it looks like I
        ("MUG-K7", "MUG-K8"),
        ("MUG-K7", "MUGK7"),
        ("\u0414\u0416", "\u0414\u0428"),
        ("\u05d0\u05d5", "\u05d0\u05df"),  # Hebrew: vav and the final nun, both like l to who does not read it
        ("\u53e3-1", "\u56d7-1"),  # a mouth and an enclosure
    ],
)
def test_letters_of_one_alphabet_are_not_taken_for_one_another(code: str, other: str) -> None:
    assert not look_alike(code, other)


@given(ASCII_CODES, ASCII_CODES)
def test_two_codes_in_ascii_look_alike_where_only_case_differs(code: str, other: str) -> None:
    assert look_alike(code, other) == (code.lower() == other.lower())


@given(CODES)
def test_case_and_width_and_form_make_no_difference(code: str) -> None:
    assume(looks(code))
    for other in (code.upper(), code.lower(), *(unicodedata.normalize(form, code) for form in ("NFD", "NFKC"))):
        assert look_alike(code, other)


@given(CODES, st.sampled_from("\u200b\u00ad\u2060\u202e\ufeff\u034f"), st.integers(0, 12))
def test_what_cannot_be_seen_makes_no_difference(code: str, character: str, at: int) -> None:
    assert looks(code[:at] + character + code[at:]) == looks(code)


def test_every_letter_that_unicode_calls_confusable_with_one_of_ascii_looks_like_one() -> None:
    """Of those that are one character each: a capital like I and not like l, which Unicode takes for the same."""
    heads = {"l": "Il1|", "O": "O0"}
    tried = 0
    for key, found in confusables.confusables_data.items():
        character = key.strip("\u200e")
        drawn = [each["c"] for each in found if each["c"].isascii() and each["c"].isalnum()]
        if len(character) != 1 or character.isascii() or len(drawn) != 1 or len(drawn[0]) != 1:
            continue
        if unicodedata.normalize("NFKC", character) != character or unicodedata.category(character) == "Cn":
            continue  # Unicode itself says what it is compatible with, or does not know it yet
        tried += 1
        candidates = heads.get(drawn[0], drawn[0])
        assert any(look_alike(f"X{character}9", f"X{each}9") for each in candidates), (character, drawn)
    assert tried > 300


def test_each_code_is_held_against_those_before_it() -> None:
    codes = ["MUG", "CUP", "mug", "\u041cUG", "cup", "POT"]
    assert alike_before(["1\u05d5", "1\u05df", "1l"]) == {"1l": "1\u05d5"}
    assert alike_before(["\u05d0\u05d5", "\u05d0\u05df"]) == {}
    assert alike_before(codes) == {"mug": "MUG", "\u041cUG": "MUG", "cup": "CUP"}


@pytest.mark.parametrize(
    ("code", "other", "said"),
    [
        ("\u041cUG-K7", "MUG-K7", "it has U+041C CYRILLIC CAPITAL LETTER EM"),
        ("mug-k7", "MUG-K7", "only case, width or alphabet differ"),
        ("MUG-K7", "\u041cUG-K7", "only case, width or alphabet differ"),
    ],
)
def test_what_tells_them_apart_is_said(code: str, other: str, said: str) -> None:
    assert difference(code, other) == said
