"""Ports that cannot be used, and the setting that chooses another."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from chassis.settings import Settings, read
from conveyor.children import variables
from conveyor.embedded import ports
from conveyor.embedded.ports import PortTaken, free_port, require_free
from conveyor.embedded.processes import EmbeddedError
from conveyor.ports import RELAYS, SERVERS, SPAN, WEB, doubled, free_base, needed, require_all


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])
def taken(request: pytest.FixtureRequest) -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind((request.param, 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_port_on_which_another_listens_is_taken(taken: int) -> None:
    with pytest.raises(PortTaken, match=f"port {taken} on 127.0.0.1 is taken by another program"):
        require_free(taken)


def test_a_number_too_high_is_no_port() -> None:
    with pytest.raises(PortTaken, match=r"port 70000 on .* is no port"):
        require_free(70000)


def test_an_address_of_another_machine_is_not_called_taken() -> None:
    with pytest.raises(PortTaken, match="cannot be listened on"):
        require_free(4000, "192.0.2.1")


def test_two_settings_with_one_port_are_refused() -> None:
    settings = Settings(sales_port=4000, postgres_port=4000, sales_relay="127.0.0.1:9", delivery_relay="127.0.0.1:9")
    with pytest.raises(EmbeddedError) as refused:
        require_all(settings, ())
    assert "CONVEYOR_SALES_PORT and CONVEYOR_POSTGRES_PORT are 4000" in str(refused.value)
    assert "CONVEYOR_SALES_RELAY and CONVEYOR_DELIVERY_RELAY are 9" in str(refused.value)
    assert not list(doubled(Settings()))


def test_every_port_that_is_taken_is_named_at_once_with_its_setting_and_a_way_out() -> None:
    base = free_base()
    assert base is not None
    moved = read({"CONVEYOR_PORT_BASE": str(base)})
    wanted = list(needed(moved, {moved.postgres_port, moved.valkey_port}))
    assert len(wanted) == len(WEB) + len(RELAYS) + 2
    with ExitStack() as held:
        for each in wanted:
            listening = held.enter_context(socket.socket(type=each.kind))
            listening.bind((each.host, each.port))
            if each.kind == socket.SOCK_STREAM:
                listening.listen()
        with pytest.raises(EmbeddedError) as refused:
            require_all(moved, {moved.postgres_port, moved.valkey_port})
        other = free_base()
    said = str(refused.value)
    assert len(said.splitlines()) == 1
    assert f"CONVEYOR_PORT_BASE={other}" in said
    assert other != base
    for each in wanted:
        assert f"port {each.port} (CONVEYOR_{each.setting.upper()})" in said
    assert said.count("on 127.0.0.1 is taken by another program") == 1
    require_all(moved, {moved.postgres_port, moved.valkey_port})


def test_a_base_moves_every_port_and_every_url_that_follows_from_one() -> None:
    moved = read({"CONVEYOR_PORT_BASE": "25000", "CONVEYOR_SALES_PORT": "3000"})
    ports = [int(str(getattr(moved, name)).rpartition(":")[2]) for name in (*WEB, *RELAYS, *SERVERS)]
    assert len(set(ports)) == len(ports)
    assert sorted(ports)[0] == 3000
    assert all(25_000 <= port < 25_000 + SPAN for port in sorted(ports)[1:])
    assert (moved.sales_url, moved.gateway_url) == ("http://127.0.0.1:3000", "http://127.0.0.1:25001")
    # What is said to a child leads to the same ports, the one that is at its default included.
    assert replace(read(variables(moved)), port_base=25_000) == moved


def test_a_free_port_is_given_once_and_not_to_outgoing_connections() -> None:
    given = [free_port() for _ in range(50)]
    assert len(set(given)) == 50
    assert max(given) < 32_768  # where Linux begins, unless told otherwise


def test_a_port_that_is_taken_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = free_port()
    with socket.create_server(("127.0.0.1", taken)):
        monkeypatch.setattr(ports, "PORTS", range(taken, taken + 1))
        with pytest.raises(EmbeddedError, match="no port from"):
            next(ports.free_ports())
