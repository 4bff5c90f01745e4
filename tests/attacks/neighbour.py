"""The others: a client that asks for one thing after another, on connections of its own, and takes the time."""

import http.client
import statistics
import threading
import time
from urllib.parse import urlsplit

#: Connections at once, and the pause (seconds) of each between two requests: some 100 requests a second.
CLIENTS, PAUSE = 4, 0.04
#: A request that takes longer (seconds) has failed.
LONGEST = 30.0


class Neighbour:
    """Asks for one URL. Every fifth request is made on a new connection: that is how strangers come."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port, parts.path
        self._times: list[float] = []
        self._failures: list[str] = []

    def ask_for(self, seconds: float) -> dict[str, float]:
        """Ask for so many seconds: how many were asked, failed, and p50 and p99 in milliseconds."""
        end = time.monotonic() + seconds
        clients = [threading.Thread(target=self._ask_until, args=[end]) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        slices = statistics.quantiles(self._times, n=100)
        p50, p99 = (round(1000 * slices[each], 1) for each in (49, 98))
        return {"asked": len(self._times), "failed": len(self._failures), "p50_ms": p50, "p99_ms": p99}

    def _ask_until(self, end: float) -> None:
        connection = self._connection()
        asked = 0
        while time.monotonic() < end:
            if asked % 5 == 4:
                connection.close()
            begun = time.monotonic()
            try:
                connection.request("GET", self._path)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self._failures.append(str(answer.status))
            except (OSError, http.client.HTTPException) as error:
                self._failures.append(repr(error))
                connection.close()
            self._times.append(time.monotonic() - begun)
            asked += 1
            time.sleep(PAUSE)
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, self._port, timeout=LONGEST)
