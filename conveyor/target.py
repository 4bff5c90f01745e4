"""Which Conveyor the operator's commands work on."""

from chassis.settings import Settings, settings


def target() -> Settings:
    """The settings under which the commands find databases, broker and gateway."""
    return settings()
