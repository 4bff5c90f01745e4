"""A request of the asynchronous server, as a WSGI app gets it."""

from typing import Any

import pytest

from chassis.environment import environment_of
from chassis.receiving import declared_length


def scope(*headers: tuple[bytes, bytes], **changed: Any) -> dict[str, Any]:
    return {
        "http_version": "1.1",
        "server": ("127.0.0.1", 3001),
        "client": ("10.0.0.7", 4000),
        "method": "GET",
        "raw_path": b"/orders",
        "query_string": b"",
        "headers": list(headers),
    } | changed


def test_an_environment_says_who_asks_whom_for_what() -> None:
    environment = environment_of(scope(raw_path=b"/a%20%C3%A9", query_string=b"b=%C3%A9"), b"")
    assert environment["REQUEST_METHOD"] == "GET"
    assert environment["PATH_INFO"].encode("latin-1").decode() == "/a é"
    assert environment["QUERY_STRING"] == "b=%C3%A9"
    assert (environment["SERVER_NAME"], environment["SERVER_PORT"]) == ("127.0.0.1", "3001")
    assert environment["REMOTE_ADDR"] == "10.0.0.7"


def test_a_body_is_whole_and_has_its_length_however_it_came() -> None:
    environment = environment_of(scope((b"transfer-encoding", b"chunked"), (b"content-type", b"text/plain")), b"abc")
    assert (environment["CONTENT_LENGTH"], environment["CONTENT_TYPE"]) == ("3", "text/plain")
    assert environment["wsgi.input"].read() == b"abc"
    assert "HTTP_TRANSFER_ENCODING" not in environment


def test_a_header_that_comes_twice_is_one_list_and_cookies_are_joined_as_cookies() -> None:
    environment = environment_of(scope((b"a", b"1"), (b"cookie", b"x=1"), (b"a", b"2"), (b"cookie", b"y=2")), b"")
    assert (environment["HTTP_A"], environment["HTTP_COOKIE"]) == ("1,2", "x=1; y=2")


def test_a_header_with_an_underscore_is_left_out() -> None:
    assert "HTTP_X_ONE" not in environment_of(scope((b"x_one", b"1")), b"")


def test_an_inner_connection_has_no_addresses() -> None:
    environment = environment_of(scope(server=None, client=None), b"")
    assert (environment["SERVER_NAME"], environment["REMOTE_ADDR"]) == ("", "")


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ([], 0),
        ([(b"content-length", b"17")], 17),
        ([(b"transfer-encoding", b"chunked")], None),
    ],
)
def test_a_body_has_the_length_that_its_headers_say(headers: list[tuple[bytes, bytes]], length: int | None) -> None:
    assert declared_length(scope(*headers)) == length
