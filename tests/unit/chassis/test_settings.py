"""A process that is told something wrong ends at once, and names it."""

from dataclasses import fields

import pytest

from chassis.errors import SettingsError
from chassis.settings import Settings, documentation, read


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
    ],
)
def test_what_is_wrong_is_named(variable: str, value: str, complaint: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read({variable: value})
    assert variable in str(refused.value)
    assert complaint in str(refused.value)


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
