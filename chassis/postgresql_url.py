"""A URL of PostgreSQL as libpq takes it, with one server or several: ``postgresql://user:password@one:5432,two:5432/shop``.

Of several the one is used that takes changes (``target_session_attrs=read-write``, where the URL says nothing else).
"""

from sqlalchemy import URL, make_url


def url_of(text: str) -> URL:
    """This URL for SQLAlchemy. ``text`` was checked when the setting was read."""
    scheme, _, rest = text.partition("://")
    end = min((place for each in "/?" if (place := rest.find(each)) >= 0), default=len(rest))
    login, at, servers = rest[:end].rpartition("@")
    if "," not in servers:
        return _writable(make_url(text))
    hosts, ports = zip(*(_host_and_port(each) for each in servers.split(",")), strict=True)
    without = make_url(f"{scheme}://{login}{at}{rest[end:]}")
    return _writable(without.update_query_dict({"host": ",".join(hosts), "port": ",".join(ports)}))


def _host_and_port(server: str) -> tuple[str, str]:
    host, colon, port = server.rpartition(":")
    if not colon or server.endswith("]"):
        host, port = server, "5432"
    return host.strip("[]"), port


def _writable(url: URL) -> URL:
    several = "," in str(url.query.get("host", ""))
    if several and "target_session_attrs" not in url.query:
        return url.update_query_dict({"target_session_attrs": "read-write"})
    return url
