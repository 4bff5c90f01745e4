"""What strangers wrote is shown on one line, and a terminal obeys nothing in it."""

import pytest

from chassis.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ada\x1b[2J\x1b]0;owned\x07", r"Ada\x1b[2J\x1b]0;owned\x07"),
        ("two\nlines\r\tand a tab", r"two\nlines\r\tand a tab"),
        ("a C1 sequence: \x9b2J, and \x85", r"a C1 sequence: \x9b2J, and \x85"),
        ("\u202egnp.exe \u2066x\u2069 \u200e", r"\u202egnp.exe \u2066x\u2069 \u200e"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("half a pair: \ud83d", r"half a pair: \ud83d"),
        ("\ufeffmark, \xadhyphen, \U000e0041tag", r"\ufeffmark, \xadhyphen, \U000e0041tag"),
        ("\x7f\x00", r"\x7f\x00"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Zoë Ångström",
        "東京都 千代田区",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "👩\u200d🚀",
        "1\xa0000\u202f€",
        r"C:\new",
        "naïve e\u0301",
    ],
)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert printable(text) == text
