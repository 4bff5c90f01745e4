"""The distribution's own packages, fetched by APT without root, and without a trace in the system.

APT gets lists, a cache and a record of what is installed of its own. That record is empty, so what it fetches for a
package is all that the package needs, libc included. Where packages come from, how (a proxy), and whose signatures
count is what the system's own configuration says. APT checks the signatures.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from conveyor.embedded.processes import RECORD, EmbeddedError, Process, inherited

#: Seconds that one command of APT's may take.
PATIENCE = 600.0
#: The lists of the system, for everybody to read; in containers they are mostly not there.
SYSTEM_LISTS = Path("/var/lib/apt/lists")
#: What of the system's configuration is taken over. Its hooks are not: they are for the system's own packages.
KEPT = ("Acquire::", "APT::Architecture", "APT::Default-Release")
FETCHED = re.compile(r"^'([^']+)' (\S+) (\d+) ")


class AptFailed(EmbeddedError):
    """APT could not do what it was asked for."""


@dataclass(frozen=True)
class Package:
    """A package file: where it comes from, what it is called on disk, and its size in bytes."""

    uri: str
    file: str
    size: int

    def path(self, archives: Path) -> Path:
        """Where the file is once it is fetched. APT leaves those of ``file:`` where they are."""
        parts = urlsplit(self.uri)
        return Path(unquote(parts.path)) if parts.scheme == "file" else archives / self.file


def here() -> bool:
    """Does this machine have APT, and what unpacks its packages?"""
    return all(shutil.which(each) for each in ("apt-get", "apt-config", "dpkg-deb"))


class Apt:
    """APT with everything that it writes in one folder."""

    def __init__(self, folder: Path, sources: str | None = None) -> None:
        """``sources``: lines of a ``sources.list``, in place of the system's."""
        self.folder = folder
        self.archives = folder / "cache" / "archives"
        self._sources = sources
        self._lists = folder / "lists"

    def resolve(self, package: str) -> list[Package]:
        """The package and all that it needs. Fetches lists where those of the system do not know it, or there are none.

        Raises AptFailed.
        """
        if self._sources is None and any(SYSTEM_LISTS.glob("*_Packages*")):
            self._lists = SYSTEM_LISTS
            try:
                return self._closure(package)
            except AptFailed:
                pass  # lists that do not know it, or in a form that this user cannot read
        return self.resolve_anew(package)

    def resolve_anew(self, package: str) -> list[Package]:
        """As ``resolve``, by lists that are fetched now. Raises AptFailed."""
        self._lists = self.folder / "lists"
        said = self._run("update")
        try:
            return self._closure(package)
        except AptFailed as error:
            # Without lists, the reason is why there are none.
            why = re.search(r"^[WE]: (?:Failed to fetch \S+ +)?(.+)", said, re.M)
            raise AptFailed(why.group(1).strip() if why else str(error)) from error

    def download(self, package: str, watch: Callable[[], None] = lambda: None) -> None:
        """Fetch the package and all that it needs, and go on where an earlier attempt ended. Raises AptFailed.

        ``watch`` is called again and again meanwhile.
        """
        self._run("--yes", "--no-install-recommends", "--download-only", "install", package, watch=watch)

    def _closure(self, package: str) -> list[Package]:
        # APT leaves out what an earlier attempt has fetched, unless it looks for that in another folder.
        elsewhere = f"--option=Dir::Cache::archives={self.folder / 'none'}"
        said = self._run(elsewhere, "--print-uris", "--no-install-recommends", "install", package)
        found = [FETCHED.match(line) for line in said.splitlines()]
        return [Package(each[1], each[2], int(each[3])) for each in found if each is not None]

    def _run(self, *arguments: str, watch: Callable[[], None] = lambda: None) -> str:
        """What ``apt-get`` prints. One that an earlier process has left behind is ended first."""
        self._configure()
        record = self.folder / f"apt{RECORD}"
        if (left := Process.recorded(record)) is not None:
            left.kill()
        log = self.folder / "apt.log"
        log.unlink(missing_ok=True)
        environment = inherited() | {"APT_CONFIG": str(self.folder / "apt.conf"), "LC_ALL": "C"}
        process = Process.spawn(["apt-get", "--quiet=2", *arguments], environment, log, record)
        try:
            deadline = time.monotonic() + PATIENCE
            while not process.wait(0.2):
                watch()
                if time.monotonic() > deadline:
                    raise AptFailed(f"apt-get did not end within {PATIENCE:g} s")
        finally:
            process.kill()
        said = log.read_text(errors="replace")
        if process.exit_code():
            first = re.search(r"^E: (.+)", said, re.M)
            raise AptFailed(first.group(1) if first else f"apt-get {process.ending()}")
        return said

    def _configure(self) -> None:
        for each in (self.folder / "lists", self.archives, self.folder / "none"):
            (each / "partial").mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        own = {
            "Dir::State": self.folder,
            "Dir::State::lists": self._lists,
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder / "cache",
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": "/dev/null",
            "APT::Sandbox::User": "root",  # as root APT would become a user who may not write here
            "Acquire::Languages": "none",
            "Acquire::Retries": "1",
            "Acquire::http::Timeout": "15",
            "Acquire::https::Timeout": "15",
        }
        if self._sources is not None:
            sources = self.folder / "sources.list"
            sources.write_text(self._sources)
            own |= {"Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/dev/null"}
        lines = [f'{name} "{value}";' for name, value in own.items()]
        (self.folder / "apt.conf").write_text("\n".join([*_of_the_system(), *lines, ""]))


def _of_the_system() -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name != "APT_CONFIG"}
    dumped = subprocess.run(["apt-config", "dump"], env=environment, capture_output=True, text=True)
    if dumped.returncode:
        raise AptFailed(dumped.stderr.strip().partition("\n")[0])
    return [line for line in dumped.stdout.splitlines() if line.startswith(KEPT)]
