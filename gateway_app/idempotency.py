"""The fast path of ``Idempotency-Key``: a request that was answered before is answered from Redis.

    no entry            claim the key, ask the service, keep its answer if it is a success, else give the claim up
    an answer           the same request: that answer again; another request: 422
    somebody's claim    the same request: 409, it is still running; another request: 422

One round trip to Redis before and one after: a client that has its answer never hears that it is still made. Nothing
depends on Redis: without it, after a flush, after a crash between the service's answer and its keeping, the request
goes to the service: its database knows the key (chassis.idempotency).
"""

from collections.abc import Callable
from secrets import token_hex

import msgspec
import structlog

from chassis.cache import Cache
from chassis.errors import CacheAway
from chassis.idempotency import IdempotencyKeyReused
from chassis.settings import Settings
from gateway_app.errors import KeyInProgress
from gateway_app.upstream import Answer

log = structlog.get_logger()

#: How long (milliseconds) an answer is kept here; the database knows the key for longer.
KEEP_ANSWER = 24 * 3_600 * 1_000

#: Give a claim up, if it is still the one that was made.
_GIVE_UP = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What Redis keeps under a key: whose request it is, and its answer once there is one."""

    token: str
    digest: str
    answer: Answer | None = None


class Keys:
    """The Idempotency-Keys that were seen lately."""

    def __init__(self, cache: Cache, settings: Settings) -> None:
        self._cache = cache
        # Longer than a request can take: waiting for a place, then connecting and waiting for the answer, twice.
        # A crashed gateway's ends then.
        longest = settings.upstream_slow + 2 * (settings.upstream_connect_timeout + settings.upstream_timeout) + 2
        self._claim_for = int(longest * 1_000)

    def once(self, client: str, key: str, digest: str, ask: Callable[[], Answer]) -> Answer:
        """The answer to the request with this key and digest; ``ask`` gets it from the service when it is new.

        Raises IdempotencyKeyReused, KeyInProgress, and what ``ask`` raises.
        """
        name = f"idempotency:{client}:{key}"
        claim = Entry(token_hex(16), digest)
        found = self._claim(name, claim)
        if found is not None and found.token != claim.token:
            return _answer_again(found, digest)
        answer = None
        try:
            answer = ask()
        finally:
            self._settle(name, claim, answer)
        return answer

    def _claim(self, name: str, claim: Entry) -> Entry | None:
        """Claim the key for this request; the entry that was there before, if any."""
        try:
            found = self._cache.command("SET", name, msgspec.msgpack.encode(claim), "NX", "GET", "PX", self._claim_for)
            return None if found is None else msgspec.msgpack.decode(found, type=Entry)
        except CacheAway:
            return None  # the database decides
        except msgspec.DecodeError:
            log.warning("idempotency_entry_unreadable")  # another version's: the database decides
            return None

    def _settle(self, name: str, claim: Entry, answer: Answer | None) -> None:
        """Keep a success, also over another's claim: what the database accepted is the truth. Give up anything else."""
        try:
            if answer is not None and 200 <= answer.status < 300:
                kept = msgspec.msgpack.encode(msgspec.structs.replace(claim, answer=answer))
                self._cache.command("SET", name, kept, "PX", KEEP_ANSWER)
            else:
                self._cache.command("EVAL", _GIVE_UP, 1, name, msgspec.msgpack.encode(claim))
        except CacheAway:
            log.info("idempotency_not_kept")  # the claim ends by itself, the database knows the answer


def _answer_again(found: Entry, digest: str) -> Answer:
    if found.digest != digest:
        raise IdempotencyKeyReused(
            "This Idempotency-Key was used before with another method, path or body. Use a new key for a new request.",
            errors=[{"field": "Idempotency-Key", "message": "already used for another request"}],
        )
    if found.answer is None:
        raise KeyInProgress(
            "The first request with this Idempotency-Key is still running. Send it again in a moment.",
            headers={"Retry-After": "1"},
        )
    headers = {**found.answer.headers, "Idempotent-Replayed": "true"}
    return msgspec.structs.replace(found.answer, headers=headers)
