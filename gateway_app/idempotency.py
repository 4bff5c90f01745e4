"""The fast path of ``Idempotency-Key``: a request that was answered before is answered from Redis.

    no entry       ask the service; keep its answer for a while, if it is a success and not too large
    an answer      the same request: that answer again; another request: 422

Nothing depends on Redis. Without it, after a flush, for an answer that was too large to keep or is no longer kept,
after a crash between the service's answer and its keeping, and while the first copy of the request is still under way,
the request goes to the service. Its database has one row for each key (chassis.idempotency): a copy waits there for
the first one's transaction, and is answered with what that one made.

A key belongs to a caller and a route: the same key on two routes is two keys.
"""

from collections.abc import Callable

import msgspec
import structlog

from chassis.cache import Cache
from chassis.errors import CacheAway
from chassis.idempotency import IdempotencyKeyReused
from gateway_app.upstream import Answer

log = structlog.get_logger()

#: How long (milliseconds) an answer is kept here; the database knows the key for longer.
KEEP_ANSWER = 3_600 * 1_000

#: The most bytes that are kept for a key: an order of some fifty lines. A larger answer is made anew from the database.
LARGEST_KEPT = 8_192


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What Redis keeps under a key: which request it was, and its answer."""

    digest: str
    answer: Answer


class Keys:
    """The Idempotency-Keys that were answered lately."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def once(self, scope: str, key: str, digest: str, ask: Callable[[], Answer]) -> Answer:
        """The answer to the request with this key and digest; ``ask`` gets it from the service when it is not here.

        ``scope`` is whose key it is, and for what. Raises IdempotencyKeyReused, and what ``ask`` raises.
        """
        name = f"idempotency:{scope}:{key}"
        found = self._find(name)
        if found is not None:
            return _answer_again(found, digest)
        answer = ask()
        if 200 <= answer.status < 300:
            self._keep(name, Entry(digest, answer))
        return answer

    def _find(self, name: str) -> Entry | None:
        try:
            found = self._cache.command("GET", name)
            return None if found is None else msgspec.msgpack.decode(found, type=Entry)
        except CacheAway:
            return None  # the database decides
        except msgspec.DecodeError:
            log.warning("idempotency_entry_unreadable")  # another version's: the database decides
            return None

    def _keep(self, name: str, entry: Entry) -> None:
        kept = msgspec.msgpack.encode(entry)
        if len(kept) > LARGEST_KEPT:
            return
        try:
            self._cache.command("SET", name, kept, "PX", KEEP_ANSWER)
        except CacheAway:
            log.info("idempotency_not_kept")  # the database knows the answer


def _answer_again(found: Entry, digest: str) -> Answer:
    if found.digest != digest:
        raise IdempotencyKeyReused(
            "This Idempotency-Key was used before with another path or body. Use a new key for a new request.",
            errors=[{"field": "Idempotency-Key", "message": "already used for another request"}],
        )
    headers = {**found.answer.headers, "Idempotent-Replayed": "true"}
    return msgspec.structs.replace(found.answer, headers=headers)
