"""The rules of ``Idempotency-Key``, with a dictionary for a Redis."""

from typing import Any

import pytest

from chassis.errors import CacheAway, Unavailable
from chassis.idempotency import IdempotencyKeyReused
from gateway_app.idempotency import LARGEST_KEPT, Keys
from gateway_app.upstream import Answer

CREATED = Answer(201, {"Location": "/orders/1", "ETag": '"1"'}, b'{"id": "1"}')
REFUSED = Answer(422, {"Content-Type": "application/problem+json"}, b"{}")


class DictionaryRedis:
    """Knows the two commands that the keys are kept with."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.times: list[int] = []
        self.away = False

    def command(self, verb: str, name: str, *parts: Any) -> Any:
        if self.away:
            raise CacheAway("away")
        if verb == "GET":
            return self.entries.get(name)
        self.entries[name], _px, time = parts
        self.times.append(time)
        return "OK"


@pytest.fixture
def redis() -> DictionaryRedis:
    return DictionaryRedis()


@pytest.fixture
def keys(redis: DictionaryRedis) -> Keys:
    return Keys(redis)  # type: ignore[arg-type]


def never() -> Answer:
    raise AssertionError("the service was asked")


def test_a_success_is_answered_again_as_it_was(keys: Keys) -> None:
    first = keys.once("public", "k", "digest", lambda: CREATED)
    again = keys.once("public", "k", "digest", never)
    assert first == CREATED
    assert again == Answer(201, {**CREATED.headers, "Idempotent-Replayed": "true"}, CREATED.body)


def test_another_request_under_a_used_key_is_refused(keys: Keys) -> None:
    keys.once("public", "k", "digest", lambda: CREATED)
    with pytest.raises(IdempotencyKeyReused) as refused:
        keys.once("public", "k", "another", never)
    assert refused.value.code == "idempotency_key_reused"


def test_the_same_key_in_another_scope_is_another_key(keys: Keys) -> None:
    keys.once("public POST /orders", "k", "digest", lambda: CREATED)
    assert keys.once("public POST /customers", "k", "another", lambda: CREATED) == CREATED


def test_a_copy_of_a_running_request_is_settled_by_the_service(keys: Keys) -> None:
    replayed = Answer(201, {**CREATED.headers, "Idempotent-Replayed": "true"}, CREATED.body)

    def ask() -> Answer:
        assert keys.once("public", "k", "digest", lambda: replayed) == replayed
        return CREATED

    assert keys.once("public", "k", "digest", ask) == CREATED


def test_a_refusal_is_not_kept(keys: Keys) -> None:
    assert keys.once("public", "k", "digest", lambda: REFUSED) == REFUSED
    assert keys.once("public", "k", "another", lambda: CREATED) == CREATED


def test_a_failure_leaves_nothing_behind(keys: Keys, redis: DictionaryRedis) -> None:
    def fail() -> Answer:
        raise Unavailable("down")

    with pytest.raises(Unavailable):
        keys.once("public", "k", "digest", fail)
    assert redis.entries == {}


def test_an_answer_is_kept_for_an_hour(keys: Keys, redis: DictionaryRedis) -> None:
    keys.once("public", "k", "digest", lambda: CREATED)
    assert redis.times == [3_600 * 1_000]


def test_an_answer_that_is_too_large_is_not_kept(keys: Keys, redis: DictionaryRedis) -> None:
    large = Answer(201, {}, b"x" * LARGEST_KEPT)
    assert keys.once("public", "k", "digest", lambda: large) == large
    assert redis.entries == {}
    fits = Answer(201, {}, b"x" * (LARGEST_KEPT - 200))
    assert keys.once("public", "k", "digest", lambda: fits) == fits
    assert [len(each) <= LARGEST_KEPT for each in redis.entries.values()] == [True]


def test_without_redis_the_service_is_asked_every_time(keys: Keys, redis: DictionaryRedis) -> None:
    redis.away = True
    assert keys.once("public", "k", "digest", lambda: CREATED) == CREATED
    assert keys.once("public", "k", "digest", lambda: CREATED) == CREATED


def test_redis_may_go_away_while_the_service_is_asked(keys: Keys, redis: DictionaryRedis) -> None:
    def ask() -> Answer:
        redis.away = True
        return CREATED

    assert keys.once("public", "k", "digest", ask) == CREATED


def test_an_entry_that_cannot_be_read_is_left_to_the_database(keys: Keys, redis: DictionaryRedis) -> None:
    redis.entries["idempotency:public:k"] = b"\xc1 not ours"
    assert keys.once("public", "k", "digest", lambda: CREATED) == CREATED
