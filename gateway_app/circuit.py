"""The circuit breaker before each service: one that does not answer is left alone for a while.

    closed      requests go through; ``upstream_failures`` of them in a row without an answer open it
    open        every request is refused at once, for ``upstream_rest`` seconds
    half-open   one request is let through as a trial: an answer closes the circuit, none opens it again

What counts is a connection that is refused, and silence for longer than the time-out. An answer is an answer, whatever
its status: a refusal, or a service that says that its database is away, is a sign of life.

pybreaker keeps count and state. Its own ``call`` would hold its lock for as long as the service takes, which would then
get one request at a time; so a request runs outside, and only its outcome is told to the breaker. While the circuit is
not closed only the trial's outcome counts: what was sent before it opened says nothing about now. The breaker is not
asked where its answer is known: while the circuit is closed and no request has failed.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from math import ceil

import structlog
from pybreaker import STATE_CLOSED, STATE_HALF_OPEN, STATE_OPEN, CircuitBreaker, CircuitMemoryStorage

from chassis.settings import Settings
from gateway_app.errors import CircuitOpen, UpstreamBroken, UpstreamDown, UpstreamTimeout

log = structlog.get_logger()


class Circuit:
    """One service's circuit breaker. Any number of threads may use it."""

    def __init__(self, service: str, settings: Settings) -> None:
        self._service = service
        self._rest = settings.upstream_rest
        #: By a clock that nobody sets.
        self._rests_until = 0.0
        self._seen = CircuitMemoryStorage(STATE_CLOSED)
        self._breaker = CircuitBreaker(
            fail_max=settings.upstream_failures,
            reset_timeout=settings.upstream_rest,
            state_storage=self._seen,
            throw_new_error_on_trip=False,
        )
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def passing(self) -> Iterator[None]:
        """Send a request inside this block. Raises CircuitOpen instead where the service is left alone."""
        trial = self._enter()
        outcome: BaseException | None = None
        try:
            yield
        except BaseException as error:
            outcome = error
            raise
        finally:
            self._leave(trial, outcome)

    def _enter(self) -> bool:
        """Whether this request is the trial. Raises CircuitOpen."""
        if self._seen.state == STATE_CLOSED:
            return False
        with self._lock:
            if self._breaker.current_state == STATE_CLOSED:
                return False
            left = self._rests_until - time.monotonic()
            if self._breaker.current_state == STATE_HALF_OPEN or left > 0:
                raise CircuitOpen(
                    f"{self._service} has not answered several times in a row and is left alone for a moment; the"
                    " request was not carried out. Try again.",
                    retry_after=max(1, ceil(left)),
                    may_have_been_executed=False,
                )
            self._breaker.half_open()
            return True

    def _leave(self, trial: bool, outcome: BaseException | None) -> None:
        if outcome is None and not trial and self._seen.counter == 0:
            return  # a success after successes, as nearly always: nothing to count
        with self._lock:
            before = self._breaker.current_state
            if isinstance(outcome, UpstreamDown | UpstreamTimeout | UpstreamBroken | None):
                if trial or before == STATE_CLOSED:
                    with contextlib.suppress(UpstreamDown, UpstreamTimeout):
                        self._breaker.call(_tell, outcome)
            elif trial:
                self._breaker.open()  # it came to nothing before it got to the service
            after = self._breaker.current_state
            if after == STATE_OPEN and after != before:
                self._rests_until = time.monotonic() + self._rest
        if after != before:
            log.warning("circuit_changed", service=self._service, was=before, now=after)


def _tell(outcome: BaseException | None) -> None:
    if isinstance(outcome, UpstreamDown | UpstreamTimeout):
        raise outcome
