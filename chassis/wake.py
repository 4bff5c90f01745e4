"""Waking a relay after a commit: a datagram, which may get lost, since the relay polls as well.

Nothing waits for it. Looking up the name of a relay that is gone can take ten seconds, and whoever has just committed,
a request perhaps, would stand there; so names are looked up on the side.
"""

import atexit
import contextlib
import socket
import threading
import time

import structlog

log = structlog.get_logger()

#: Seconds after which a name is looked up again: a container that was replaced has a new address.
LOOK_UP_EVERY = 10.0
#: Seconds that a look-up is waited for. One that succeeds takes a millisecond.
PATIENCE = 0.05

_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
_socket.setblocking(False)
atexit.register(_socket.close)
_addresses: dict[str, tuple[str, int]] = {}
_due: dict[str, float] = {}


def wake(relay: str) -> None:
    """Tell the relay at ``host:port`` that there is work. Takes no time worth speaking of, and raises nothing."""
    now = time.monotonic()
    if _due.get(relay, 0.0) <= now:
        _due[relay] = now + LOOK_UP_EVERY
        search = threading.Thread(target=_look_up, args=(relay,), name="look-up", daemon=True)
        search.start()
        search.join(PATIENCE)
    if relay in _addresses:
        # No route, or a full buffer: the relay finds the row when it polls.
        with contextlib.suppress(OSError):
            _socket.sendto(b"", _addresses[relay])


def _look_up(relay: str) -> None:
    host, _, port = relay.rpartition(":")
    try:
        _addresses[relay] = (socket.gethostbyname(host), int(port))
    except OSError as error:
        log.debug("relay_not_found", relay=relay, error=str(error))
