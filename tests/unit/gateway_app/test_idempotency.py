"""The rules of ``Idempotency-Key``, with a dictionary for a Redis."""

from typing import Any

import pytest

from chassis.errors import CacheAway, Unavailable
from chassis.idempotency import IdempotencyKeyReused
from chassis.settings import Settings
from gateway_app.errors import KeyInProgress
from gateway_app.idempotency import Keys
from gateway_app.upstream import Answer

CREATED = Answer(201, {"Location": "/orders/1", "ETag": '"1"'}, b'{"id": "1"}')
REFUSED = Answer(422, {"Content-Type": "application/problem+json"}, b"{}")


class DictionaryRedis:
    """Knows the three commands that the keys are kept with."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.times: list[int] = []
        self.away = False

    def command(self, verb: str, *parts: Any) -> Any:
        if self.away:
            raise CacheAway("away")
        if verb == "EVAL":
            _script, _count, name, mine = parts
            return int(self.entries.get(name) == mine and bool(self.entries.pop(name)))
        name, value, *options = parts
        self.times.append(options[-1])
        before = self.entries.get(name)
        if "NX" not in options or before is None:
            self.entries[name] = value
        return before if "GET" in options else "OK"


@pytest.fixture
def redis() -> DictionaryRedis:
    return DictionaryRedis()


@pytest.fixture
def keys(redis: DictionaryRedis) -> Keys:
    return Keys(redis, Settings())  # type: ignore[arg-type]


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


def test_the_same_key_of_another_client_is_another_key(keys: Keys) -> None:
    keys.once("one", "k", "digest", lambda: CREATED)
    assert keys.once("two", "k", "another", lambda: CREATED) == CREATED


def test_a_copy_of_a_running_request_is_told_to_come_again(keys: Keys) -> None:
    def ask() -> Answer:
        with pytest.raises(KeyInProgress) as refused:
            keys.once("public", "k", "digest", never)
        assert refused.value.headers == {"Retry-After": "1"}
        return CREATED

    assert keys.once("public", "k", "digest", ask) == CREATED


def test_another_request_under_the_key_of_a_running_one_is_refused(keys: Keys) -> None:
    def ask() -> Answer:
        with pytest.raises(IdempotencyKeyReused):
            keys.once("public", "k", "another", never)
        return CREATED

    keys.once("public", "k", "digest", ask)


def test_a_refusal_is_not_kept(keys: Keys) -> None:
    assert keys.once("public", "k", "digest", lambda: REFUSED) == REFUSED
    assert keys.once("public", "k", "another", lambda: CREATED) == CREATED


def test_a_failure_gives_the_claim_up(keys: Keys, redis: DictionaryRedis) -> None:
    def fail() -> Answer:
        raise Unavailable("down")

    with pytest.raises(Unavailable):
        keys.once("public", "k", "digest", fail)
    assert redis.entries == {}


def test_a_failure_leaves_somebody_elses_claim_alone(keys: Keys, redis: DictionaryRedis) -> None:
    def ask() -> Answer:
        redis.entries["idempotency:public:k"] = b"somebody else's, after mine had ended"
        return REFUSED

    keys.once("public", "k", "digest", ask)
    assert redis.entries == {"idempotency:public:k": b"somebody else's, after mine had ended"}


def test_a_claim_outlives_the_longest_request_and_ends_soon_after(keys: Keys, redis: DictionaryRedis) -> None:
    keys.once("public", "k", "digest", lambda: CREATED)
    claimed, kept = redis.times
    longest = Settings().upstream_connect_timeout + Settings().upstream_timeout
    assert 2 * longest < claimed / 1000 < 3 * longest
    assert kept == 24 * 3600 * 1000


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
