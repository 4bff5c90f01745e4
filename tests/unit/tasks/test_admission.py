"""What a worker takes for a message to a step of ours, and why it turns away all others."""

from collections.abc import Callable
from typing import Any

import pytest

from tasks.admission import LONGEST_ID, _guarded, why_unreadable

TASK = "inventory.check_availability"
LINK = {"task": "sales.record_inventory_response"}


class Message:
    """As kombu hands it over; ``payload`` is its body, decoded."""

    def __init__(self) -> None:
        self.headers: Any = {"task": TASK, "id": "0123", "eta": None, "expires": None}
        self.payload: Any = [[[{"order_id": "1"}]], {}, {"chain": [LINK], "callbacks": None}]


def test_a_message_to_a_step_is_taken_with_links_that_follow_and_without() -> None:
    message = Message()
    assert why_unreadable(message) is None
    for follows in ({}, {"chain": None}, {"chain": []}):
        message.payload[2] = follows
        assert why_unreadable(message) is None


def headers(**changed: Any) -> Callable[[Message], None]:
    return lambda message: message.headers.update(changed)


def body(position: int, value: Any) -> Callable[[Message], None]:
    return lambda message: message.payload.__setitem__(position, value)


def whole(value: Any) -> Callable[[Message], None]:
    return lambda message: setattr(message, "payload", value)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda message: setattr(message, "headers", None), "it names no task"),
        (headers(task=7), "it names no task"),
        (headers(task="inventory.no_such_task"), "there is no task inventory.no_such_task"),
        (headers(id=7), "its id is no text"),
        (headers(id=""), "its id is no text"),
        (headers(id="x" * (LONGEST_ID + 1)), "its id is no text"),
        (headers(id="a\nb"), "its id is no text"),
        (headers(eta="2026-01-01T00:00:00"), "it has a header eta"),
        (headers(expires=0), "it has a header expires"),
        (whole({"args": []}), "its body is not of three parts"),
        (whole({"args": [], "kwargs": {}, "embed": {}}), "its body is not of three parts"),
        (whole([[], {}]), "its body is not of three parts"),
        (whole([[], {}, {}, {}]), "its body is not of three parts"),
        (body(0, {}), "its body is not a list of arguments"),
        (body(1, {"force": True}), "its body is not a list of arguments"),
        (body(2, []), "its body is not a list of arguments"),
        (body(2, {"chain": 7}), "the links that follow are no links"),
        (body(2, {"chain": "x"}), "the links that follow are no links"),
        (body(2, {"chain": [LINK, "x"]}), "the links that follow are no links"),
        (body(2, {"chain": [{"task": "x.y"}, LINK]}), "a link that follows names no task of ours: x.y"),
        (body(2, {"chain": [LINK], "callbacks": [LINK]}), "something other than links"),
    ],
)
def test_whatever_else_it_is_is_turned_away_with_the_reason(spoil: Callable[[Message], None], why: str) -> None:
    message = Message()
    spoil(message)
    assert str(why_unreadable(message)).startswith(why)


def test_the_longest_id_is_taken() -> None:
    message = Message()
    message.headers["id"] = "x" * LONGEST_ID
    assert why_unreadable(message) is None


def test_a_body_that_cannot_be_decoded_is_turned_away_with_what_is_wrong() -> None:
    class Undecodable(Message):
        payload = property(lambda _self: 1 / 0, lambda *_: None)

    assert why_unreadable(Undecodable()) == "its body cannot be decoded: division by zero"


class TestTheDoor:
    """What becomes of a message: Celery gets it, or the dead letters do."""

    class Consumer:
        connection_errors, channel_errors = (ConnectionError,), (LookupError,)

    @pytest.fixture
    def message(self) -> Message:
        arrived: Any = Message()
        arrived.content_type, arrived.acknowledged, arrived.rejected = "application/json", False, 0

        def reject(*_: object) -> None:
            arrived.rejected += 1

        arrived.reject_log_error = reject
        return arrived  # type: ignore[no-any-return]

    def pass_on(self, message: Message, raising: Exception | None = None) -> list[Message]:
        """What Celery has got of it; it raises this, once it has."""
        got: list[Message] = []

        def celerys(given: Message) -> None:
            got.append(given)
            if raising is not None:
                raise raising

        _guarded(self.Consumer(), lambda: celerys)(message)
        return got

    def test_is_open_for_a_message_to_a_step(self, message: Any) -> None:
        assert (self.pass_on(message), message.rejected) == ([message], 0)

    def test_is_closed_for_any_other(self, message: Any) -> None:
        message.headers["task"] = "inventory.no_such_task"
        assert (self.pass_on(message), message.rejected) == ([], 1)

    def test_takes_back_what_celery_cannot_read(self, message: Any) -> None:
        assert (self.pass_on(message, ValueError("args")), message.rejected) == ([message], 1)

    @pytest.mark.parametrize("error", [ConnectionError(), LookupError()])
    def test_leaves_it_to_celery_that_the_broker_is_away(self, message: Any, error: Exception) -> None:
        with pytest.raises(type(error)):
            self.pass_on(message, error)
        assert message.rejected == 0

    def test_hides_no_error_that_comes_once_the_message_is_settled(self, message: Any) -> None:
        message.acknowledged = True
        with pytest.raises(ZeroDivisionError):
            self.pass_on(message, ZeroDivisionError())
        assert message.rejected == 0
