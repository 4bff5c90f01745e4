"""Whom a request is for, and which page made the browser send it: what a stranger's web page may not make a browser do.

A page's own script may send a simple POST to any address, and reads the answers of any host whose name leads to its own
server today and to this one tomorrow (DNS rebinding). So a request is refused

    421  whose Host is no name of ours: no IP address, not localhost, no host of a service's URL, none of CONVEYOR_HOSTS
    403  that may change something and comes from a page of another site

Programs that are no browsers send neither ``Sec-Fetch-Site`` nor ``Origin``, and are asked for nothing but a Host.
Health may be asked for under any name: probes use what they find.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from chassis.errors import CrossSite, UnknownHost
from chassis.settings import WEB, Settings

#: These methods change nothing.
_SAFE = ("GET", "HEAD", "OPTIONS")

#: The most Host headers that are remembered as good; whoever sends more pays for the look.
_MOST_REMEMBERED = 1_000

_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:\d*)?")


class Hosts:
    """The names that one web process answers to."""

    def __init__(self, settings: Settings) -> None:
        urls = [getattr(settings, f"{each}_url") for each in WEB]
        self._names = {"localhost", *(urlsplit(url).hostname or "" for url in urls), *names_in(settings.hosts)} - {""}
        #: Host headers, as they are, that were found to be ours.
        self._good: set[str] = set()

    def check(self, environ: Mapping[str, Any]) -> None:
        """Refuse a request that is not for this process, or that a stranger's page makes; ``environ`` is WSGI's.

        Raises UnknownHost, CrossSite.
        """
        host = environ.get("HTTP_HOST", "")
        if host not in self._good and not _asks_for_health(environ["PATH_INFO"]):
            self._look_at(host)
        if environ["REQUEST_METHOD"] not in _SAFE:
            self._look_at_the_page(host, environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN"))

    def _look_at(self, host: str) -> None:
        name = _host_in(host)
        if name not in self._names and not _is_address(name):
            raise UnknownHost(
                f"Nobody here answers to the Host {host[:100]!r}. CONVEYOR_HOSTS names the hosts of this process,"
                " beside localhost, IP addresses and the services' own."
            )
        if len(self._good) < _MOST_REMEMBERED:
            self._good.add(host)

    def _look_at_the_page(self, host: str, site: str | None, origin: str | None) -> None:
        if site is None and origin is None:
            return
        if site is not None:
            foreign = site == "cross-site"
        else:  # browsers leave it out where the connection is not encrypted, and old ones everywhere
            authority = (origin or "").partition("://")[2]
            foreign = authority != host and _host_in(authority) not in self._names
        if foreign:
            raise CrossSite("A page of another site made this request. What changes something is not taken from there.")


def names_in(hosts: str) -> set[str]:
    """The host names in CONVEYOR_HOSTS, as they are compared."""
    return {each.strip().lower().removesuffix(".") for each in hosts.split(",")} - {""}


def _asks_for_health(path: str) -> bool:
    return path == "/health" or path.startswith("/health/")


def _host_in(authority: str) -> str:
    """The host of ``host:port``, in lower case, without brackets and without the root's dot; empty where it is none."""
    found = _AUTHORITY.fullmatch(authority)
    return found[1].strip("[]").lower().removesuffix(".") if found else ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
