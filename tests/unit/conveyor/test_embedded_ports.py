"""Ports that cannot be used, and the setting that chooses another."""

import socket
from collections.abc import Iterator

import pytest

from chassis.settings import Settings
from conveyor.embedded import ports
from conveyor.embedded.ports import PortTaken, free_port, require_free
from conveyor.embedded.processes import EmbeddedError
from conveyor.run import _refuse_doubled_ports, _way_out


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


@pytest.mark.parametrize(
    ("port", "setting"),
    [
        (3001, "CONVEYOR_GATEWAY_PORT"),
        (15432, "CONVEYOR_POSTGRES_PORT"),
        (15675, "CONVEYOR_RABBITMQ_EPMD_PORT"),
        (3013, "CONVEYOR_INVENTORY_RELAY"),
    ],
)
def test_the_setting_of_a_port_is_named(port: int, setting: str) -> None:
    assert setting in _way_out(Settings(), port)


def test_two_settings_with_one_port_are_refused() -> None:
    with pytest.raises(EmbeddedError, match="CONVEYOR_SALES_PORT and CONVEYOR_POSTGRES_PORT are 4000"):
        _refuse_doubled_ports(Settings(sales_port=4000, postgres_port=4000))
    _refuse_doubled_ports(Settings())


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
