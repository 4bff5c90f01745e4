"""The release before this one: its code, its version and its migrations, as `migrations/release_before` names them."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: One line: the commit of the release that is running where this one is installed, and its version.
NAMED = ROOT / "migrations" / "release_before"
COMMIT, VERSION = NAMED.read_text().split()


def git(*arguments: str) -> bytes:
    """What git says about this clone. A clone without the release fails the test that asked, and says what to do."""
    answer = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True)
    if answer.returncode:
        pytest.fail(
            f"the release before, {VERSION} ({COMMIT[:12]}, named in {NAMED.relative_to(ROOT)}), is not in this clone: "
            f"git fetch --unshallow, or git fetch origin {COMMIT} ({answer.stderr.decode().strip()})",
            pytrace=False,
        )
    return answer.stdout


def check_out(folder: Path) -> Path:
    """Put the release's tree into this new folder, and return it."""
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=git("archive", COMMIT), check=True)
    return folder


@cache
def file(path: str) -> str:
    """A file of the release."""
    return git("show", f"{COMMIT}:{path}").decode()


@cache
def migrations(service: str) -> tuple[str, ...]:
    """The names of the release's migration files of a service, in their order."""
    folder = f"migrations/{service}/versions/"
    names = git("ls-tree", "--name-only", COMMIT, folder).decode().split()
    return tuple(sorted(Path(each).name for each in names if not each.endswith("__init__.py")))
