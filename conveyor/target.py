"""Which Conveyor a command works on, or in: the one that the environment names, else the one that runs here.

The settings are those of the environment, with what ``conveyor run`` wrote down about its stack underneath. Where the
environment leads to another system than that stack, the stack is left out of it altogether: half of one and half of
the other would be neither.
"""

import os
from collections.abc import Mapping

from chassis.settings import PREFIX, Settings, read
from chassis.settings import settings as settings_of_process
from conveyor import stack
from conveyor.stack import GUARDED

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
    """The settings under which the commands find databases, broker and gateway. Raises SettingsError."""
    given = read(environment)
    beneath = stack.environment(given.state_dir)
    if leads_elsewhere(environment):
        return given
    return read({**beneath, **environment})


def leads_elsewhere(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment names a system that is not the stack of the state directory. Raises SettingsError."""
    given = read(environment)
    beneath = read(stack.environment(given.state_dir))
    named = [name for name in LEADING if PREFIX + name.upper() in environment]
    return any(getattr(given, name) != getattr(beneath, name) for name in named)


def join(*knows: str) -> Settings:
    """The settings of one more process of the stack that runs here, where the environment leads nowhere else.

    It is told what every process of the stack is told, and of the settings that are guarded only those that it
    ``knows``. To be called before ``celeryconfig`` is imported, which reads the environment once. Raises SettingsError.
    """
    if not leads_elsewhere(os.environ):
        hidden = {PREFIX + name.upper() for name in GUARDED - set(knows)}
        beneath = stack.environment(read(os.environ).state_dir)
        os.environ.update({name: value for name, value in beneath.items() if name not in hidden | os.environ.keys()})
        settings_of_process.cache_clear()
    return settings_of_process()
