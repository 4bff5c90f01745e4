"""A relay is woken by name, and whoever wakes it waits for nobody."""

import socket
import threading
import time

import pytest

from chassis import wake


@pytest.fixture
def relay(monkeypatch):
    """A relay's socket, known as relay-sales once ``names`` has it."""
    monkeypatch.setattr(wake, "_addresses", {})
    monkeypatch.setattr(wake, "_due", {})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        yield listener


def name_of(relay):
    return f"relay-sales:{relay.getsockname()[1]}"


def test_a_relay_is_woken_by_its_name_the_first_time(relay, monkeypatch):
    monkeypatch.setattr(socket, "gethostbyname", {"relay-sales": "127.0.0.1"}.__getitem__)
    wake.wake(name_of(relay))
    assert relay.recv(16) == b""


def test_a_name_that_nobody_knows_holds_nobody_up(relay, monkeypatch):
    answered = threading.Event()

    def unknown(_name):
        answered.wait(10)
        raise socket.gaierror("Temporary failure in name resolution")

    monkeypatch.setattr(socket, "gethostbyname", unknown)
    begun = time.monotonic()
    wake.wake(name_of(relay))
    wake.wake(name_of(relay))
    answered.set()
    assert time.monotonic() - begun < 1


def test_a_relay_that_moved_is_found_again(relay, monkeypatch):
    monkeypatch.setattr(socket, "gethostbyname", lambda _name: "127.0.0.2")
    wake.wake(name_of(relay))
    monkeypatch.setattr(socket, "gethostbyname", lambda _name: "127.0.0.1")
    monkeypatch.setattr(wake, "_due", {})
    wake.wake(name_of(relay))
    assert relay.recv(16) == b""


def test_a_name_is_looked_up_every_ten_seconds_and_not_each_time(relay, monkeypatch):
    looked_up = []
    monkeypatch.setattr(socket, "gethostbyname", lambda name: looked_up.append(name) or "127.0.0.1")
    for _ in range(3):
        wake.wake(name_of(relay))
    assert looked_up == ["relay-sales"]
    wake._due[name_of(relay)] -= wake.LOOK_UP_EVERY
    wake.wake(name_of(relay))
    assert looked_up == ["relay-sales"] * 2


def test_a_full_buffer_holds_nobody_up():
    assert wake._socket.getblocking() is False
