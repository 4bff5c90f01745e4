"""Which Conveyor a command works on, or in: the one that the environment names, else the one that runs here.

The settings are those of the environment, with what ``conveyor run`` wrote down about its stack underneath. Where the
environment leads to another system than that stack, the stack is left out of it altogether: half of one and half of
the other would be neither.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from chassis.settings import PREFIX, Settings, read
from chassis.settings import settings as settings_of_process
from conveyor import stack
from conveyor.stack import GUARDED
from conveyor.terminal import say

#: The settings that say which system it is.
LEADING = (
    "sales_database_url",
    "inventory_database_url",
    "delivery_database_url",
    "broker_url",
    "redis_url",
    "gateway_url",
    "sales_url",
    "inventory_url",
    "delivery_url",
)


def target(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings under which the commands find databases, broker and gateway.

    ``gateway_url`` is empty where the environment names no gateway and no stack is found: the port that a stack of
    somebody else may have is no guess to make. Raises SettingsError.
    """
    given = _given(environment)
    if leads_elsewhere(environment):
        return given
    beneath = stack.environment(given.state_dir)
    if not beneath and not any(PREFIX + name in environment for name in ("GATEWAY_URL", "GATEWAY_PORT", "PORT_BASE")):
        return replace(given, gateway_url="")
    if beneath and given.state_dir != read(environment).state_dir and environment is os.environ:
        _say_which(given.state_dir)
    # The ports of a stack that is there are written down one by one.
    base = {f"{PREFIX}PORT_BASE": "0"} if beneath else {}
    return replace(read({**beneath, **environment, **base}), state_dir=given.state_dir)


def _given(environment: Mapping[str, str]) -> Settings:
    """What the environment says; the state directory is the nearest one upward where it names none."""
    given = read(environment)
    if f"{PREFIX}STATE_DIR" in environment:
        return given
    return replace(given, state_dir=stack.nearest(given.state_dir))


@cache
def _say_which(state_dir: str) -> None:
    """Nobody should have to guess which of several stacks a command works on."""
    say(f"conveyor: working on the stack of {state_dir}", err=True)


def leads_elsewhere(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment names a system that is not the stack of the state directory. Raises SettingsError."""
    given = _given(environment)
    written = stack.environment(given.state_dir)
    beneath = read(written)
    named = [name for name in LEADING if PREFIX + name.upper() in environment]
    if written and f"{PREFIX}PORT_BASE" in environment:
        named.append("gateway_url")
    return any(getattr(given, name) != getattr(beneath, name) for name in named)


def join(*knows: str) -> Settings:
    """The settings of one more process of the stack that runs here, where the environment leads nowhere else.

    It is told what every process of the stack is told, and of the settings that are guarded only those that it
    ``knows``. To be called before ``celeryconfig`` is imported, which reads the environment once. Raises SettingsError.
    """
    if not leads_elsewhere(os.environ):
        hidden = {PREFIX + name.upper() for name in GUARDED - set(knows)}
        beneath = stack.environment(_given(os.environ).state_dir)
        if beneath:
            os.environ.pop(f"{PREFIX}PORT_BASE", None)
        os.environ.update({name: value for name, value in beneath.items() if name not in hidden | os.environ.keys()})
        settings_of_process.cache_clear()
    return settings_of_process()
