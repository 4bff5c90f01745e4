"""Redis answers, goes away, hangs and comes back; announcements reach those who listen."""

import socket
import time
from collections.abc import Iterator

import pytest

from chassis.cache import REST, Cache
from chassis.errors import CacheAway
from chassis.sockets import OPTIONS
from conveyor.embedded.ports import free_port
from conveyor.embedded.valkey import Valkey


@pytest.fixture
def cache(valkey: Valkey) -> Cache:
    return Cache(valkey.url(), timeout=0.3)


@pytest.fixture
def paused(valkey: Valkey) -> Iterator[None]:
    """Redis accepts connections and answers nothing."""
    with valkey.client() as redis:
        redis.execute_command("CLIENT", "PAUSE", "1000")
    yield
    with valkey.client() as redis:
        redis.ping()  # once it answers again


def kill_connections(valkey: Valkey, kind: str) -> None:
    with valkey.client() as redis:
        redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


def test_a_connection_that_says_nothing_is_asked_by_the_kernel_whether_redis_is_there(cache: Cache) -> None:
    connection = cache.connection()  # a socket lives as long as its connection is held
    connected = connection._sock
    assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert {option: connected.getsockopt(socket.IPPROTO_TCP, option) for option in OPTIONS} == OPTIONS
    connection.disconnect()


def test_several_commands_are_answered_in_their_order(cache: Cache) -> None:
    assert cache.commands([("SET", "a", "1"), ("GET", "a"), ("INCR", "a")]) == [b"OK", b"1", 2]


def test_a_connection_that_redis_closed_while_idle_costs_nobody_anything(cache: Cache, valkey: Valkey) -> None:
    cache.command("SET", "x", "1")
    kill_connections(valkey, "normal")
    assert cache.command("GET", "x") == b"1"


def test_a_redis_that_is_not_there_is_away() -> None:
    with pytest.raises(CacheAway):
        Cache(f"redis://127.0.0.1:{free_port()}", 0.3).command("PING")


def test_a_command_that_redis_refuses_counts_as_redis_being_away(cache: Cache) -> None:
    with pytest.raises(CacheAway, match="unknown command"):
        cache.commands([("NO-SUCH-COMMAND",), ("PING",)])


def test_no_answer_of_a_refused_pipeline_is_left_for_the_next_one(cache: Cache) -> None:
    with pytest.raises(CacheAway):
        cache.commands([("NO-SUCH-COMMAND",), ("ECHO", "old")])
    time.sleep(REST)
    assert cache.command("ECHO", "new") == b"new"


def test_answers_are_read_whole_however_long_they_are(cache: Cache) -> None:
    long = b"x\r\n" * 100_000
    assert cache.commands([("SET", "long", long), ("GET", "long"), ("GET", "nothing")]) == [b"OK", long, None]


def test_no_commands_have_no_answers(cache: Cache) -> None:
    assert cache.commands([]) == []


def test_a_hanging_redis_costs_one_time_out_and_is_asked_again_after_a_rest(cache: Cache, paused: None) -> None:
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(CacheAway):
            cache.command("PING")
    assert 0.3 <= time.monotonic() - began < 0.5
    time.sleep(REST)
    assert cache.command("PING") == b"PONG"


def test_an_announcement_is_heard_by_all_who_listen_and_by_nobody_else(cache: Cache, valkey: Valkey) -> None:
    other_process = Cache(valkey.url(), 0.3)
    with cache.listening("one") as first, cache.listening("one") as second, cache.listening("two") as other:
        other_process.announce({"one": "done"})
        assert first(1)
        assert second(1)
        assert not other(0.05)
        assert not first(0.05)


def test_one_who_stops_listening_leaves_the_others_listening(cache: Cache, valkey: Valkey) -> None:
    with cache.listening("one") as stays:
        with cache.listening("one"):
            pass
        Cache(valkey.url(), 0.3).announce({"one": "done"})
        assert stays(1)


def test_an_outcome_is_kept_for_a_while(cache: Cache, valkey: Valkey) -> None:
    cache.announce({"kept": "done"})
    with valkey.client() as redis:
        assert redis.get("outcome:kept") == b"done"
        assert 3000 < redis.ttl("outcome:kept") <= 3600


def test_an_announcement_that_cannot_be_made_is_lost_without_harm() -> None:
    Cache(f"redis://127.0.0.1:{free_port()}", 0.3).announce({"x": "done"})


def test_one_who_listens_is_told_that_the_connection_was_lost(cache: Cache, valkey: Valkey) -> None:
    with cache.listening("one") as wait:
        kill_connections(valkey, "pubsub")
        with pytest.raises(CacheAway):
            wait(5)


def test_after_the_connection_was_lost_the_next_one_who_listens_hears_again(cache: Cache, valkey: Valkey) -> None:
    with cache.listening("one") as wait:
        kill_connections(valkey, "pubsub")
        with pytest.raises(CacheAway):
            wait(5)
    time.sleep(REST)
    with cache.listening("one") as wait:
        Cache(valkey.url(), 0.3).announce({"one": "done"})
        assert wait(1)


def test_nobody_waits_for_a_subscription_that_is_not_confirmed(cache: Cache, paused: None) -> None:
    began = time.monotonic()
    with pytest.raises(CacheAway), cache.listening("one"):
        pass
    assert time.monotonic() - began < 1


def test_a_subscription_that_is_not_confirmed_in_time_is_given_up(cache: Cache, valkey: Valkey) -> None:
    with cache.listening("first"):
        with valkey.client() as redis:
            redis.execute_command("CLIENT", "PAUSE", "1000")
        with pytest.raises(CacheAway), cache.listening("second"):
            pass
        with valkey.client() as redis:
            redis.ping()
