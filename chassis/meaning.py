"""What the text of a setting has to mean. Each check raises ValueError with the rule, as the end of a sentence.

No check repeats a URL or a login: they carry passwords.
"""

import ipaddress
import re
from collections.abc import Collection
from pathlib import Path

from chassis.currencies import CURRENCIES

_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]*)(?::(?P<port>[0-9]+))?")
_NUMBERS = {int: re.compile(r"-?[0-9]+"), float: re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")}
_UNCODED = (
    "is no URL: in a password, percent-encode what is neither letter nor digit (# is %23, / is %2F, @ is %40, % is %25)"
)
_LONGEST = 60


def shown(text: str) -> str:
    """A wrong value, as an error may repeat it."""
    return repr(text if len(text) <= _LONGEST else text[:_LONGEST] + "...")


def one_of(text: str, words: Collection[str]) -> None:
    """One of these words."""
    if text not in words:
        raise ValueError(f"must be {' or '.join(words)}, not {shown(text)}")


def number(text: str, kind: type, least: float | None, most: float) -> int | float:
    """The number that this text is, as everybody writes numbers."""
    if not _NUMBERS[kind].fullmatch(text):
        raise ValueError(f"must be {'a whole number' if kind is int else 'a number'}, not {shown(text)}")
    value: int | float = kind(text[:400])  # Python refuses to read thousands of digits
    if least is not None and value < least:
        raise ValueError(f"must be at least {least:.12g}, not {text[:20]}")
    if value > most:
        raise ValueError(f"must be at most {most:.12g}, not {text[:20]}")
    return value


def database(text: str) -> None:
    """A URL of PostgreSQL, with one server or several behind commas."""
    example = "postgresql://user:password@host:5432/database"
    host, path = _url(text, ("postgresql", "postgres", "postgresql+psycopg2"), example, several=True)
    name, _, query = path.partition("?")
    if not name.strip("/"):
        raise ValueError(f"names no database: {example}")
    if not host and "host=" not in query:
        raise ValueError(f"names no host: {example}")


def broker(text: str) -> None:
    """One URL of RabbitMQ or of its stand-in, or several behind semicolons, as Celery takes them."""
    example = "amqp://user:password@host:5672/vhost, or redis://:password@host:6379/0 for the stand-in"
    if any("@" in each and "://" not in each for each in text.split(";")):  # the other half of a password
        raise ValueError(_UNCODED)
    for each in text.split(";"):
        host, path = _url(each, ("amqp", "amqps", "pyamqp", "redis", "rediss"), example)
        if not host:
            raise ValueError(f"names no host: {example}")
        if each.lower().startswith("redis"):
            _number_of_database(path)


def redis(text: str) -> None:
    """A URL of Redis or Valkey."""
    example = "redis://:password@host:6379/0"
    host, path = _url(text, ("redis", "rediss"), example)
    if not host:
        raise ValueError(f"names no host: {example}")
    _number_of_database(path)


def web(text: str) -> None:
    """Where a web process is found: its address, and perhaps a path that goes before ours."""
    example = "http://host:port"
    host, path = _url(text, ("http", "https"), example)
    if not host or "@" in text or "?" in path:
        raise ValueError(f"must be a scheme, a host, a port and perhaps a path: {example}")


def address(text: str) -> None:
    """An address to listen on."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"must be an IP address, such as 127.0.0.1, 0.0.0.0 or ::1, not {shown(text)}") from None


def hosts(text: str) -> None:
    """Names of hosts, separated by commas."""
    for each in filter(None, map(str.strip, text.split(","))):
        if len(each) > 253 or not re.fullmatch(r"\w([\w.-]*\w)?\.?", each, re.ASCII):
            raise ValueError(f"must be names of hosts, without scheme and port, not {shown(each)}")


def host_and_port(text: str) -> None:
    """Where a datagram goes."""
    found = _HOST.fullmatch(text)
    if found is None or not found["host"].strip("[]") or found["port"] is None or found["host"].startswith("["):
        raise ValueError(f"must be host:port, such as 127.0.0.1:3010, not {shown(text)}")
    _port(found["port"])


def logins(text: str) -> None:
    """user:password, or several behind commas, as Flower takes them."""
    if not all(re.fullmatch(r"[^:\s]+:\S+", each) for each in text.split(",")) or not text.isprintable():
        raise ValueError("must be user:password")


def currency(text: str) -> None:
    """A code of ISO 4217."""
    if text not in CURRENCIES:
        raise ValueError(f"must be a currency of ISO 4217 by its three capitals, such as EUR, not {shown(text)}")


def file(text: str) -> None:
    """A file that can be made, or is there."""
    _below_a_folder(text)
    if Path(text).is_dir():
        raise ValueError(f"must be a file, and {shown(text)} is a folder")


def folder(text: str) -> None:
    """A folder that can be made, or is there."""
    if not text:
        raise ValueError("must be a folder, and is empty")
    _below_a_folder(text)
    if Path(text).exists() and not Path(text).is_dir():
        raise ValueError(f"must be a folder, and {shown(text)} is none")


def _below_a_folder(text: str) -> None:
    path = Path(text).absolute()
    try:
        nearest = next(each for each in (path, *path.parents) if _is_there(each))
    except OSError as error:
        raise ValueError(f"cannot be used: {error.strerror}: {shown(text)}") from None
    if nearest != path and not nearest.is_dir():
        raise ValueError(f"must be in a folder, and {shown(str(nearest))} is none")


def _is_there(path: Path) -> bool:
    """Raises OSError where that cannot be told. From Python 3.14 on ``path.exists()`` says no then."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _url(text: str, schemes: Collection[str], example: str, several: bool = False) -> tuple[str, str]:
    """The host, and what stands behind host and port; of ``several`` the first host, where none is left out."""
    if not text.isprintable() or " " in text:
        raise ValueError(f"is no URL, it has blanks or control characters in it (percent-encode those): {example}")
    scheme, _, rest = text.partition("://")
    if not rest or scheme.lower() not in schemes:
        raise ValueError(f"must begin with {' or '.join(f'{each}://' for each in schemes)}: {example}")
    end = re.search(r"[/?#]|$", rest)
    authority, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    login, _, place = authority.rpartition("@")
    if "@" in path or "#" in path or re.search(r"[@\[\]]|%(?![0-9A-Fa-f]{2})", login):
        raise ValueError(_UNCODED)
    hosts = [_host(each, example) for each in (place.split(",") if several else [place])]
    return hosts[0] if all(hosts) else "", path.removeprefix("/")


def _host(place: str, example: str) -> str:
    """The host of ``host:port``, empty where there is none."""
    found = _HOST.fullmatch(place)
    if found is None:
        raise ValueError(f"names no host and port that can be read: {example}")
    if found["port"] is not None:
        _port(found["port"])
    return found["host"]


def _port(text: str) -> None:
    if not 1 <= int(text[:9]) <= 65_535:
        raise ValueError("names a port that is none: they go from 1 to 65535")


def _number_of_database(path: str) -> None:
    number = path.partition("?")[0]
    if not re.fullmatch(r"[0-9]{0,5}", number):
        raise ValueError("must end in the number of a database, such as /0")
