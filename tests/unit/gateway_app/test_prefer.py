"""What a client's ``Prefer`` header asks for."""

import pytest

from gateway_app.waiting import seconds_to_wait


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=5", 5),
        ("Wait = 5", 5),
        ('wait="5"', 5),
        ("respond-async, wait=10", 10),
        ("wait=10;why=because", 10),
        ("return=minimal, wait=1, wait=9", 1),
        ("wait=30", 30),
    ],
)
def test_a_wait_is_found_however_rfc_7240_lets_it_be_written(header: str, seconds: int) -> None:
    assert seconds_to_wait(header) == seconds


def test_nobody_waits_longer_than_thirty_seconds() -> None:
    assert seconds_to_wait("wait=31") == 30


@pytest.mark.parametrize(
    "header",
    [None, "", "wait", "wait=", "wait=soon", "wait=-1", "wait=0", "wait=1.5", "wait=٣", "waiting=5", "wait=9" * 9],
)
def test_a_value_that_is_no_number_of_seconds_is_ignored(header: str | None) -> None:
    assert seconds_to_wait(header) is None
