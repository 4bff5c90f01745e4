"""The ports of a stack: every one that cannot be had is named in one message, with its setting and a way out."""

import socket
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields

from chassis.settings import PREFIX, Settings
from conveyor.embedded.ports import PORTS, PortTaken, require_free
from conveyor.embedded.processes import EmbeddedError

WEB = ("gateway_port", "sales_port", "inventory_port", "delivery_port", "flower_port")
RELAYS = ("sales_relay", "inventory_relay", "delivery_relay")
SERVERS = (
    "postgres_port", "valkey_port", "broker_port",
    "rabbitmq_dist_port", "rabbitmq_epmd_port", "rabbitmq_management_port",
)  # fmt: skip
#: How far the highest port is from CONVEYOR_PORT_BASE.
SPAN = 40


@dataclass(frozen=True)
class Needed:
    """A port that a process of the stack listens on."""

    setting: str
    host: str
    port: int
    kind: socket.SocketKind = socket.SOCK_STREAM

    def refusal(self) -> str | None:
        """Why it cannot be had; None where it can."""
        try:
            require_free(self.port, self.host, self.kind)
        except PortTaken as error:
            return error.why
        return None


def needed(chosen: Settings, servers: Collection[int]) -> Iterator[Needed]:
    """Every port that has to be free. ``servers`` are those that the servers which are to be started listen on."""
    for name in WEB:
        yield Needed(name, chosen.host, getattr(chosen, name))
    for name in RELAYS:
        host, _, port = getattr(chosen, name).rpartition(":")
        yield Needed(name, host, int(port), socket.SOCK_DGRAM)
    for name in SERVERS:
        if getattr(chosen, name) in servers:
            yield Needed(name, "127.0.0.1", getattr(chosen, name))


def require_all(chosen: Settings, servers: Collection[int]) -> None:
    """Raises EmbeddedError, which names each port that two settings share or that cannot be listened on."""
    wanted = list(needed(chosen, servers))
    shared = list(doubled(chosen))
    if shared:
        raise EmbeddedError(f"each needs a port of its own: {'; '.join(shared)}")
    refused: dict[str, list[str]] = defaultdict(list)
    for each in wanted:
        if (why := each.refusal()) is not None:
            refused[why].append(f"port {each.port} ({PREFIX}{each.setting.upper()})")
    if refused:
        said = "; ".join(f"{', '.join(ports)} {why}" for why, ports in refused.items())
        raise EmbeddedError(f"{said}. End what is there, or {_way_out()}")


def doubled(chosen: Settings) -> Iterator[str]:
    """The settings that name one and the same port, whether their servers are ours or not."""
    names: dict[tuple[int, bool], list[str]] = defaultdict(list)
    for name in (*WEB, *SERVERS, *RELAYS):
        port = int(str(getattr(chosen, name)).rpartition(":")[2])
        names[port, name in RELAYS].append(PREFIX + name.upper())
    for (port, _), settings in names.items():
        if len(settings) > 1:
            yield f"{' and '.join(settings)} are {port}"


def _way_out() -> str:
    base = free_base()
    moved = f"move the whole stack: {PREFIX}PORT_BASE={base}" if base else f"choose others with {PREFIX}PORT_BASE"
    return f"{moved}; or choose others one by one"


def free_base() -> int | None:
    """A CONVEYOR_PORT_BASE with nothing in its way; None where there is none."""
    offsets = [each.metadata["offset"] for each in fields(Settings) if each.metadata["offset"] is not None]
    for base in range(PORTS.start, PORTS.stop - SPAN, 1_000):
        if all(_free(base + offset) for offset in offsets):
            return base
    return None


def _free(port: int) -> bool:
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    return not any(Needed("", "127.0.0.1", port, kind).refusal() for kind in kinds)
