"""Whether the servers that a process is told of let it in, asked once when it begins.

A server that is away is waited for. One that refuses is not: a wrong password, or a database that nobody has created,
does not mend itself. While a process works it waits for either, since what let it in once will do so again.
"""

import re
from urllib.parse import unquote, urlsplit

from chassis.errors import SettingsError
from chassis.settings import PREFIX, Settings

#: What PostgreSQL says before there is a session, which gives no SQLSTATE, and what to do about it. What it says in
#: another language is taken for a server that is away.
_POSTGRESQL = (
    (r'database "[^"]*" does not exist', "there is no database {database!r}: create it, or correct the URL"),
    (
        r"password authentication failed|no password supplied|is not permitted to log in|no pg_hba.conf entry"
        r'|role "[^"]*" does not exist',
        "{user!r} may not log in: correct user and password, or create the role",
    ),
    (r"permission denied for database", "{user!r} may not connect to {database!r}: grant it, or correct the URL"),
)
#: The same of RabbitMQ, which adds to the second one when a virtual host is only down or full.
_RABBITMQ = (
    (r"vhost .* not found$", "there is no virtual host {vhost!r}: `rabbitmqctl add_vhost {vhost}`, or correct the URL"),
    (
        r"access to (vhost '[^']*'|\w+ '[^']*' in vhost '[^']*') refused for user '[^']*'$",
        "{user!r} has no right to virtual host {vhost!r}: "
        "`rabbitmqctl set_permissions -p {vhost} {user} '.*' '.*' '.*'`, or correct the URL",
    ),
    (r"^ACCESS_REFUSED .*(Login was refused|login refused)", "{user!r} may not log in: correct user and password"),
)


class AccessRefused(SettingsError):
    """A server is there and does not let us in. The message is one line with the variable and what to do."""


def check_access(
    settings: Settings, *, database: str = "", tables: bool = True, broker: bool = False, redis: bool = False
) -> None:
    """Try the servers that a process is going to work with: the database of this service, broker and Redis.

    Without ``tables`` the database need not be migrated yet. A server that is away is nothing wrong.

    Raises AccessRefused.
    """
    if database:
        _check_database(settings, database, tables)
    if broker:
        _check_broker(settings)
    if redis and settings.redis_url:
        _check_redis(settings)


def refused_database(service: str, url: str, said: str) -> str | None:
    """What this error says about the URL of a service's database; None where it does not speak of access."""
    return _explained(f"{service}_database_url", url, said, _POSTGRESQL)


def refused_broker(url: str, said: str) -> str | None:
    """What this error of RabbitMQ's says about its URL; None where it does not speak of access."""
    return _explained("broker_url", url, said, _RABBITMQ)


def _check_database(settings: Settings, service: str, tables: bool) -> None:
    from sqlalchemy import NullPool, text
    from sqlalchemy.exc import DBAPIError

    from chassis.database import engine_of

    url = settings.database_url(service)
    try:
        with engine_of(url, f"conveyor-{service}", poolclass=NullPool).connect() as connection:
            connection.execute(text("SELECT FROM outbox LIMIT 0" if tables else "SELECT 1"))
    except DBAPIError as error:
        code = getattr(error.orig, "pgcode", None)
        variable = _variable(f"{service}_database_url")
        if code == "42P01":
            raise AccessRefused(
                f"{variable}: the database at {_place(url)} has no tables of {service}'s: "
                f"`conveyor migrate {service}`, or correct the URL"
            ) from error
        if code == "42501":
            raise AccessRefused(
                f"{variable}: {_parts(url)['user']!r} may not read the tables of the database at {_place(url)}: use"
                f" the role that `conveyor migrate {service}` was run with"
            ) from error
        refused = refused_database(service, url, str(error.orig))
        if refused:
            raise AccessRefused(refused) from error


def _check_broker(settings: Settings) -> None:
    from conveyor.broker import BrokerDown, BrokerRefused, reached

    try:
        with reached(settings.require("broker_url")):
            return
    except BrokerRefused as error:
        raise AccessRefused(str(error)) from error
    except BrokerDown:
        return  # whoever works with it waits for it, and says so


def _check_redis(settings: Settings) -> None:
    import redis

    url = settings.redis_url
    limits = {"socket_timeout": settings.redis_timeout, "socket_connect_timeout": settings.redis_timeout}
    try:
        with redis.Redis.from_url(url, **limits) as cache:
            cache.ping()
    except redis.RedisError as error:
        if is_login(error):
            raise AccessRefused(refused_redis("redis_url", url)) from error


def is_login(error: Exception) -> bool:
    """Whether Redis answers that it wants another user or password."""
    from redis.exceptions import AuthenticationError, NoPermissionError

    return isinstance(error, AuthenticationError | NoPermissionError)


def refused_redis(setting: str, url: str) -> str:
    """What to do about a Redis that does not let us in."""
    return f"{_variable(setting)}: Redis at {_place(url)} refuses the login: correct user and password"


def _explained(setting: str, url: str, said: str, known: tuple[tuple[str, str], ...]) -> str | None:
    for pattern, what in known:
        if re.search(pattern, said.strip(), re.MULTILINE):
            return f"{_variable(setting)}: at {_place(url)} {what.format(**_parts(url))}"
    return None


def _variable(setting: str) -> str:
    return PREFIX + setting.upper()


def _parts(url: str) -> dict[str, str]:
    parsed = urlsplit(url)
    name = unquote(parsed.path.removeprefix("/"))
    return {"user": unquote(parsed.username or ""), "database": name, "vhost": name or "/"}


def _place(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
