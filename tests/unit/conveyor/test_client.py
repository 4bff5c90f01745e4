"""The command line's HTTP client: what it repeats, what it does not, and what its errors say."""

import socket

import pytest

from conveyor.client import BrokenOff, Gateway, Refused, Unreachable, key_of


def test_a_repeatable_request_outlasts_an_absent_service(gateway) -> None:
    gateway.faults = [("/customers", 503), ("/customers", 503), ("/customers", 409)]
    made = Gateway(gateway.url, patience=10).post("/customers", {"name": "Ada"}, key="k")
    assert made.body["name"] == "Ada"
    assert gateway.requests == [("POST", "/customers")] * 4


def test_a_lost_answer_is_asked_for_again_and_nothing_is_made_twice(gateway) -> None:
    gateway.faults = [("/customers", 0)]
    made = Gateway(gateway.url, patience=10).post("/customers", {"name": "Ada"}, key="k")
    assert made.replayed
    assert len(gateway.customers) == 1


def test_without_a_key_a_request_is_sent_once(gateway) -> None:
    gateway.faults = [("/customers", 503)]
    with pytest.raises(Refused) as refused:
        Gateway(gateway.url, patience=10).post("/customers", {"name": "Ada"})
    assert refused.value.code == "unavailable"
    assert gateway.requests == [("POST", "/customers")]


def test_a_request_that_breaks_off_may_have_been_carried_out(gateway) -> None:
    gateway.faults = [("/customers", 0), ("/customers", 0)]
    with pytest.raises(BrokenOff, match="may have been carried out: look before you send it again"):
        Gateway(gateway.url).post("/customers", {"name": "Ada"})
    with pytest.raises(BrokenOff, match="carried out: send it again under the same key"):
        Gateway(gateway.url).post("/customers", {"name": "Ada"}, key="k")


def test_with_a_precondition_a_request_is_sent_once_although_it_has_a_key(gateway) -> None:
    gateway.faults.append(("/products", 0))
    with pytest.raises(BrokenOff, match="may have been carried out"):
        Gateway(gateway.url, patience=5).post("/products", {"sku": "a"}, key="k", headers={"If-Match": '"1"'})
    assert gateway.requests == [("POST", "/products")]


def test_a_refusal_is_not_repeated_and_names_field_and_correlation(gateway) -> None:
    with pytest.raises(Refused) as refused:
        Gateway(gateway.url, patience=10).post("/products", {"sku": "REFUSED"}, key="k")
    assert (refused.value.status, refused.value.code) == (422, "invalid")
    assert "sku: no" in str(refused.value)
    assert len(gateway.requests) == 1


def test_the_problem_documents_correlation_id_is_told() -> None:
    assert "correlation id: abc" in str(Refused(500, {"detail": "Our mistake", "correlation_id": "abc"}))


def test_an_answer_without_a_problem_document_still_says_what_happened() -> None:
    assert str(Refused(502, {})) == "Bad Gateway (502 http_502)"


def test_patience_has_an_end(gateway) -> None:
    gateway.faults = [("/customers", 503)] * 100
    with pytest.raises(Refused):
        Gateway(gateway.url, patience=0.2).post("/customers", {}, key="k")


def test_stopping_ends_all_patience(gateway) -> None:
    gateway.faults = [("/customers", 503)] * 100
    client = Gateway(gateway.url, patience=1000)
    client.stop()
    with pytest.raises(Refused):
        client.post("/customers", {}, key="k")
    assert len(gateway.requests) == 1


def test_nobody_at_the_address_is_said_with_the_address() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Unreachable, match=f"{url} does not answer.*CONVEYOR_GATEWAY_URL"):
            Gateway(url).get("/health")


def test_all_pages_of_a_list_are_read(gateway) -> None:
    pages = {None: (["a", "b"], "2"), "2": (["c"], None)}

    def find(path: str, query: dict[str, str]) -> tuple[int, object]:
        items, cursor = pages[query.get("cursor")]
        return 200, {"items": items, "next_cursor": cursor}

    gateway.find = find
    assert list(Gateway(gateway.url).every("/orders", status="Pending")) == ["a", "b", "c"]


def test_the_same_request_has_the_same_bytes(gateway) -> None:
    client = Gateway(gateway.url)
    assert not client.post("/customers", {"name": "Ada", "email": "é"}, key="k").replayed
    assert client.post("/customers", {"name": "Ada", "email": "é"}, key="k").replayed


def test_keys_of_different_parts_differ_and_fit_into_a_header() -> None:
    keys = [
        key_of("replay", "a", "b"),
        key_of("replay", "a/b", ""),
        key_of("replay", "ä", "b" * 300),
        key_of("replay", "ä", "b" * 301),
        key_of("replay", "a b\n", "\ud800"),
    ]
    assert len(set(keys)) == len(keys)
    assert all(len(key) <= 255 and key.isascii() and key.isprintable() for key in keys)
