"""What a RabbitMQ has left on disk, and whether the one that is here now can go on with it.

An upgrade of the distribution (Debian 12 to 13) exchanges 3.10 for 4.0, which reads nothing older than 3.13 and would
end with a report of Erlang's. Which release wrote the data is seen by its feature flags, which a node keeps in a file.
"""

import re
from pathlib import Path

#: A feature flag, and the release with which it came; the newest that is enabled says how old the data is at least.
FLAGS = {
    "rabbitmq_4.2.0": (4, 2),
    "rabbitmq_4.1.0": (4, 1),
    "rabbitmq_4.0.0": (4, 0),
    "message_containers": (3, 13),
    "restart_streams": (3, 12),
    "feature_flags_v2": (3, 11),
}
FLAGS_FILE = "*-feature_flags"

Version = tuple[int, int]


def set_aside(data: Path, scripts: Path) -> str | None:
    """Move the data away where this RabbitMQ cannot go on with it, and return that in words; None where it can.

    Nothing is lost but time: what the queues held, outboxes and sweeper send again. ``scripts`` is the folder of
    RabbitMQ's scripts. To be called while no node runs on the data.
    """
    written, running = written_by(data), version_of(scripts)
    if written is None or running is None or _can_go_on(written, running):
        return None
    name = _name(written)
    aside = _free(data.with_name(f"{data.name}-of-{name.replace(' ', '-')}"))
    data.rename(aside)
    return (
        f"The messages on disk are of RabbitMQ {name}, which RabbitMQ {running[0]}.{running[1]} cannot read: they were"
        f" set aside in {aside}. Orders that were under way are sent again from the databases, within ten minutes."
        " The folder may be deleted."
    )


def written_by(data: Path) -> Version | None:
    """The oldest release that can have written this data, (0, 0) for one before 3.11; None where there is none."""
    for file in data.glob(FLAGS_FILE):
        enabled = set(re.findall(r"[\w.]+", file.read_text(errors="replace")))
        return max((release for flag, release in FLAGS.items() if flag in enabled), default=(0, 0))
    return None


def version_of(scripts: Path) -> Version | None:
    """The release whose scripts are in this folder; None where its plugins are not beside them."""
    for plugin in scripts.parent.glob("plugins/rabbit-*"):
        if found := re.fullmatch(r"rabbit-(\d+)\.(\d+)\..*", plugin.name):
            return int(found[1]), int(found[2])
    return None


def _can_go_on(written: Version, running: Version) -> bool:
    """What a release needs was enabled from the start in data of these, and none reads what a newer one has written."""
    oldest = (3, 13) if running >= (4, 0) else (3, 11) if running >= (3, 12) else (0, 0)
    return oldest <= written <= running


def _name(written: Version) -> str:
    return "before 3.11" if written == (0, 0) else f"{written[0]}.{written[1]}"


def _free(path: Path) -> Path:
    """This path, or one with a number behind it where that is taken."""
    taken = [path, *(path.with_name(f"{path.name}-{number}") for number in range(2, 1_000))]
    return next(each for each in taken if not each.exists())
