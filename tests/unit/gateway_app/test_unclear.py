"""What a client is told to do about a request that got no answer."""

import pytest

from gateway_app.upstream import Request, _executed, _unclear

KEY = {"Idempotency-Key": "k"}


@pytest.mark.parametrize(
    ("request_", "told", "executed"),
    [
        (Request("GET", "/orders", {}), "Nothing was changed. Try again.", False),
        (Request("POST", "/orders", KEY, b"{}", reads=False), "with the same Idempotency-Key", True),
        (Request("POST", "/orders/1/cancel", {}, reads=False), "safe to send it again", True),
        (Request("PATCH", "/orders/1", {}, reads=False, repeatable=False), "read the current state", True),
    ],
)
def test_who_gets_no_answer_is_told_what_to_do(request_: Request, told: str, executed: bool) -> None:
    assert told in _unclear(request_)
    assert _executed(request_) == {"may_have_been_executed": executed}
