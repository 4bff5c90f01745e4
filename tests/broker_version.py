"""A RabbitMQ of another version for the tests: ``python -m tests.broker_version 4`` prints the folder of its programs.

With that folder first on the PATH, every test and every stack uses it. Whatever release of Debian has the version is
asked for it; its packages are unpacked in ``.conveyor/fetched``, nothing is installed, and the next call finds them.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from conveyor.embedded import apt, rabbitmq_tree
from conveyor.embedded.apt import Apt, AptFailed
from conveyor.embedded.processes import EmbeddedError

ROOT = Path(__file__).parents[1]
FETCHED = ROOT / ".conveyor" / rabbitmq_tree.FETCHED
#: Debian's names for its releases, whatever they are called this year.
RELEASES = ("oldoldstable", "oldstable", "stable", "testing", "unstable")
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def programs(version: str) -> Path:
    """The folder with ``rabbitmq-server`` and ``erl`` of this version: 4, 3.10. Raises EmbeddedError."""
    tree = FETCHED / f"rabbitmq-{version}"
    if not tree.exists():
        FETCHED.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FETCHED) as folder:
            rabbitmq_tree.make(tree, _apt(version, Path(folder)), lambda text: print(text, file=sys.stderr))
    return tree / "bin"


def _apt(version: str, folder: Path) -> Apt:
    """APT with the archive of the oldest release that has this version."""
    if not apt.here():
        raise EmbeddedError("another version of RabbitMQ is fetched by Debian's apt, which is not here")
    archive, seen = _archive(), []
    for release in RELEASES:
        found = Apt(folder / release, f"deb [signed-by={KEYS}] {archive} {release} main\n")
        try:
            newest = rabbitmq_tree.version_of(found.resolve(rabbitmq_tree.PACKAGE))
        except AptFailed as error:
            seen.append(f"{release}: {error}")
            continue
        if f"{newest}.".startswith(f"{version}."):
            return found
        seen.append(f"{release} has {newest}")
    raise EmbeddedError(f"no release of Debian has RabbitMQ {version}: {', '.join(seen)}")


def _archive() -> str:
    """Where this machine gets Debian's packages from, by its own configuration."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main"]
    found = subprocess.run(asked, capture_output=True, text=True).stdout.split()
    archives = [each for each in found if re.search(r"/debian/?$", each)]
    if not archives:
        raise EmbeddedError("the apt of this machine knows no archive of Debian")
    return archives[0]


if __name__ == "__main__":
    try:
        print(programs(sys.argv[1]))
    except EmbeddedError as error:
        sys.exit(f"{error}")
