"""What can go wrong at the door and nowhere else.

    Unavailable 503
    ├── UpstreamDown         no connection to the service: the request was not carried out
    ├── UpstreamTimeout      the service took the request and did not answer in time
    ├── UpstreamBroken       the connection broke, or what came was no answer of ours
    ├── CircuitOpen          the service did not answer several times in a row, and is left alone for a moment
    └── UpstreamBusy         the service is slow, and keeps its share of the gateway's threads busy

After the second and third a request that changes something may have been carried out, and the answer says so in
``may_have_been_executed``.
"""

from chassis.errors import Unavailable


class UpstreamDown(Unavailable):
    """A service cannot be reached; the request was not carried out."""

    code, title = "upstream_down", "A service is down"


class UpstreamTimeout(Unavailable):
    """A service did not answer in time; the request may have been carried out."""

    code, title = "upstream_timeout", "A service did not answer in time"


class UpstreamBroken(Unavailable):
    """A service's answer did not arrive whole; the request may have been carried out."""

    code, title = "upstream_broken", "A service's answer did not arrive"


class CircuitOpen(Unavailable):
    """A service did not answer several times in a row and is left alone; the request was not carried out."""

    code, title = "upstream_circuit_open", "A service is down and left alone for a moment"


class UpstreamBusy(Unavailable):
    """A service is slow and has its share of requests; this one was not carried out."""

    code, title = "upstream_busy", "A service is slow and has enough to do"
