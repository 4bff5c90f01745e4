"""A process that is told something wrong ends at once, and names it."""

from collections.abc import Iterator
from dataclasses import fields
from urllib.parse import quote

import pytest

from chassis.currencies import CURRENCIES
from chassis.errors import SettingsError
from chassis.settings import PREFIX, Settings, documentation, read


def test_what_is_set_is_read_and_the_rest_has_its_default() -> None:
    known = read({"CONVEYOR_SALES_PORT": "4000", "CONVEYOR_RELAY_GAP": "0.5", "CONVEYOR_HOST": "::1", "HOME": "/root"})
    assert (known.sales_port, known.relay_gap, known.host) == (4000, 0.5, "::1")
    assert known.gateway_port == Settings().gateway_port == 3001


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("CONVEYOR_SALES_PROT", "4000", "unknown setting CONVEYOR_SALES_PROT"),
        ("CONVEYOR_SALES_PORT", "many", "must be a whole number, not 'many'"),
        ("CONVEYOR_SALES_PORT", "", "must be a whole number, not ''"),
        ("CONVEYOR_SALES_PORT", "3.5", "must be a whole number, not '3.5'"),
        ("CONVEYOR_SALES_PORT", "0", "must be at least 1, not 0"),
        ("CONVEYOR_RELAY_GAP", "soon", "must be a number, not 'soon'"),
        ("CONVEYOR_RELAY_GAP", "-1", "must be at least 0, not -1"),
        ("CONVEYOR_RELAY_GAP", "nan", "must be a number, not 'nan'"),
        ("CONVEYOR_RELAY_GAP", "inf", "must be a number, not 'inf'"),
        ("CONVEYOR_LOG_LEVEL", "LOUD", "must be DEBUG or INFO or WARNING or ERROR, not 'LOUD'"),
        ("CONVEYOR_LOG_FORMAT", "xml", "must be json or console, not 'xml'"),
        ("CONVEYOR_EMBEDDED_BROKER", "kafka", "must be auto or rabbitmq or valkey, not 'kafka'"),
        ("CONVEYOR_CURRENCY", "euro", "must be a currency of ISO 4217 by its three capitals, such as EUR, not 'euro'"),
        ("CONVEYOR_CURRENCY", "XTS", "must be a currency of ISO 4217"),
        ("CONVEYOR_CURRENCY", "", "must be a currency of ISO 4217"),
        ("CONVEYOR_UPSTREAM_SHARE", "5", "must be at most 1, not 5"),
        ("CONVEYOR_SALES_PORT", "99999", "must be at most 65535, not 99999"),
        ("CONVEYOR_SALES_PORT", "4_000", "must be a whole number, not '4_000'"),
        ("CONVEYOR_SALES_PORT", " 4000 ", "must be a whole number, not ' 4000 '"),
        ("CONVEYOR_SALES_PORT", "٤٠٠٠", "must be a whole number"),
        ("CONVEYOR_SALES_PORT", "9" * 5_000, "must be at most 65535, not 99999999999999999999"),
        ("CONVEYOR_PORT_BASE", "65500", "must be at most 65496, not 65500"),
        ("CONVEYOR_RELAY_GAP", "1e300", "must be at most 31622400, not 1e300"),
        ("CONVEYOR_HOST", "localhost", "must be an IP address, such as 127.0.0.1, 0.0.0.0 or ::1, not 'localhost'"),
        ("CONVEYOR_SALES_RELAY", "relay-sales", "must be host:port, such as 127.0.0.1:3010, not 'relay-sales'"),
        ("CONVEYOR_SALES_RELAY", "[::1]:3010", "must be host:port"),
        ("CONVEYOR_SALES_RELAY", "relay-sales:0", "names a port that is none"),
        ("CONVEYOR_SALES_URL", "sales", "must begin with http:// or https://"),
        ("CONVEYOR_SALES_URL", "http://:3000", "must be a scheme, a host, a port"),
        ("CONVEYOR_SALES_URL", "http://sales:99999", "names a port that is none"),
        ("CONVEYOR_SALES_DATABASE_URL", "mysql://sales@db/shop", "must begin with postgresql://"),
        ("CONVEYOR_SALES_DATABASE_URL", "postgresql://sales@db", "names no database"),
        ("CONVEYOR_SALES_DATABASE_URL", "postgresql:///shop", "names no host"),
        ("CONVEYOR_SALES_DATABASE_URL", "postgresql://sales@one:5432,:5432/shop", "names no host"),
        ("CONVEYOR_SALES_DATABASE_URL", "postgresql://sales@one,two:0/shop", "names a port that is none"),
        ("CONVEYOR_REDIS_URL", "redis://one:6379,two:6379/0", "names no host and port that can be read"),
        ("CONVEYOR_BROKER_URL", "http://rabbitmq", "must begin with amqp://"),
        ("CONVEYOR_BROKER_URL", "amqp://", "must begin with amqp://"),
        ("CONVEYOR_BROKER_URL", "amqp://one/x;nonsense", "must begin with amqp://"),
        ("CONVEYOR_REDIS_URL", "redis://cache/zero", "must end in the number of a database"),
        ("CONVEYOR_REDIS_URL", "redis://ca che/0", "has blanks or control characters"),
        ("CONVEYOR_STATE_DIR", "", "must be a folder, and is empty"),
        ("CONVEYOR_STATE_DIR", "/dev/null/state", "must be in a folder, and '/dev/null' is none"),
        ("CONVEYOR_STATE_DIR", "/dev/null", "must be a folder, and '/dev/null' is none"),
        ("CONVEYOR_READY_FILE", "/dev/null/ready", "must be in a folder, and '/dev/null' is none"),
        ("CONVEYOR_READY_FILE", "/", "must be a file, and '/' is a folder"),
    ],
)
def test_what_is_wrong_is_named(variable: str, value: str, complaint: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read({variable: value})
    assert variable in str(refused.value)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    "password", ["s#cret", "s/cret", "s@cret", "s[cret", "s]cret", "s?cret", "#", "@", "100%", "50%cret"]
)
@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("CONVEYOR_SALES_DATABASE_URL", "postgresql://sales:{}@db:5432/ecommerce_db"),
        ("CONVEYOR_BROKER_URL", "amqp://conveyor:{}@rabbitmq:5672/conveyor"),
        ("CONVEYOR_REDIS_URL", "redis://:{}@redis:6379/0"),
    ],
)
def test_a_password_that_is_not_percent_encoded_is_named_and_not_shown(variable: str, url: str, password: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read({variable: url.format(password)})
    said = str(refused.value)
    assert said.startswith(f"{variable} is no URL: in a password, percent-encode")
    assert "cret" not in said
    encoded = url.format(quote(password, safe=""))
    assert getattr(read({variable: encoded}), variable.removeprefix(PREFIX).lower()) == encoded


def test_a_password_with_a_semicolon_is_not_shown_either() -> None:
    with pytest.raises(SettingsError) as refused:
        read({"CONVEYOR_BROKER_URL": "amqp://conveyor:s;cret@rabbitmq:5672/conveyor"})
    assert str(refused.value).startswith("CONVEYOR_BROKER_URL is no URL: in a password, percent-encode")
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize("password", ["s cret", "s\tcret"])
def test_a_blank_is_to_be_percent_encoded_too(password: str) -> None:
    with pytest.raises(SettingsError, match="percent-encode") as refused:
        read({"CONVEYOR_REDIS_URL": f"redis://:{password}@redis:6379/0"})
    assert "cret" not in str(refused.value)


NONSENSE = ("\x01", "non sense", "-1", "5e9", "9" * 5_000, "x" * 5_000, "mysql://a:secret@b/c", "//:secret@", "é", "]")


def nonsense() -> Iterator[tuple[str, str]]:
    """Each setting with each value, where it has no meaning. Of a name of a file only the length can be wrong."""
    for each in fields(Settings):
        for value in NONSENSE:
            if each.name in ("state_dir", "ready_file") and len(value) < 5_000:
                continue
            if each.name == "flower_basic_auth" and ":" in value:
                continue
            if each.name == "hosts" and value == "5e9":  # a name like any other
                continue
            if each.type is float and value == "5e9" and each.metadata["most"] > 5e9:
                continue
            yield each.name, value


@pytest.mark.parametrize(("name", "value"), list(nonsense()), ids=lambda text: text[:20])
def test_no_setting_takes_a_value_that_makes_no_sense(name: str, value: str) -> None:
    variable = PREFIX + name.upper()
    with pytest.raises(SettingsError) as refused:
        read({variable: value})
    said = str(refused.value)
    assert said.startswith(f"{variable} ")
    assert len(said.splitlines()) == 1
    assert len(said) < 250
    if name.endswith("_url") or name == "flower_basic_auth":
        assert "secret" not in said


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("CONVEYOR_SALES_DATABASE_URL", "postgresql:///shop?host=/run/postgresql"),
        ("CONVEYOR_SALES_DATABASE_URL", "postgresql://sales:a%40b@one:5432,two.example:5433/shop"),
        ("CONVEYOR_SALES_DATABASE_URL", "postgresql://sales@one,[::1]:5433/shop?target_session_attrs=any"),
        ("CONVEYOR_SALES_DATABASE_URL", "postgresql://sales@/shop?host=one,two&port=1,2"),
        ("CONVEYOR_SALES_DATABASE_URL", "postgresql://sales@[::1]:5432/shop?sslmode=require"),
        ("CONVEYOR_BROKER_URL", "amqps://user:a%40b@one:5671/%2F;amqp://two"),
        ("CONVEYOR_BROKER_URL", "redis://:x@127.0.0.1:6379/1"),
        ("CONVEYOR_REDIS_URL", "rediss://:x@cache?ssl_cert_reqs=none"),
        ("CONVEYOR_GATEWAY_URL", "https://shop.example/api/"),
        ("CONVEYOR_SALES_RELAY", "relay_sales:3010"),
        ("CONVEYOR_FLOWER_BASIC_AUTH", "ada:s3cret:#/,bob:x"),
        ("CONVEYOR_RELAY_GAP", "1e-05"),
    ],
)
def test_what_makes_sense_is_taken(variable: str, url: str) -> None:
    assert str(getattr(read({variable: url}), variable.removeprefix(PREFIX).lower())) == url


def test_every_currency_is_three_capitals() -> None:
    assert {"EUR", "USD", "GBP", "CHF", "JPY", "XCG"} <= CURRENCIES
    assert all(len(each) == 3 and each.isascii() and each.isupper() for each in CURRENCIES)
    assert not {"BGN", "HRK", "XAU", "XXX", "DEM"} & CURRENCIES


def test_what_a_process_cannot_do_without_is_named_with_what_it_is() -> None:
    with pytest.raises(SettingsError, match=r"CONVEYOR_SALES_DATABASE_URL is not set: PostgreSQL URL of ecommerce_db"):
        Settings().database_url("sales")


def test_every_setting_says_what_it_is() -> None:
    assert all(documentation().values())


def test_there_is_no_default_secret() -> None:
    """A URL that carries a password has no default; those of our own web apps carry none."""
    for each in fields(Settings):
        assert "@" not in str(each.default)
    assert {Settings().broker_url, Settings().redis_url, Settings().flower_basic_auth} == {""}
