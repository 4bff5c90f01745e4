"""The tests that need no server, on every other Python of this machine from 3.11 on: ``python -m tests.pythons``.

Interpreters are looked for on the PATH and where pyenv keeps them. Each has an environment of its own in ``.venv``.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MINORS = range(11, 15)
TESTS = ("tests/unit", "tests/contract", "tests/architecture")


def others() -> Iterator[tuple[str, Path]]:
    """Version and path of one interpreter for each minor version but the one that runs this."""
    for minor in MINORS:
        if minor == sys.version_info.minor:
            continue
        for candidate in _candidates(f"python3.{minor}"):
            # pyenv's own python3.12 may lead to no interpreter; Debian's may have no venv.
            asked = [candidate, "-c", "import ensurepip, platform, venv; print(platform.python_version())"]
            answer = subprocess.run(asked, capture_output=True, text=True)
            if answer.returncode == 0:
                yield answer.stdout.strip(), candidate
                break


def _candidates(name: str) -> Iterator[Path]:
    if (on_path := shutil.which(name)) is not None:
        yield Path(on_path)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(root.glob(f"versions/*/bin/{name}"), reverse=True)


def passes(version: str, python: Path) -> bool:
    """Do the tests pass on this interpreter? What they say is printed."""
    began = time.monotonic()
    environment = ROOT / ".venv" / "pythons" / version
    own = environment / "bin" / "python"
    install = [own, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--editable", ".[embedded,dev]"]
    for command in (
        [python, "-m", "venv", environment],
        install,
        [own, "-m", "pytest", "--numprocesses=2", "--quiet", *TESTS],
    ):
        if subprocess.run(command, cwd=ROOT).returncode:
            print(f"Python {version}: FAILED: {' '.join(map(str, command))}", flush=True)
            return False
    print(f"Python {version}: passed in {time.monotonic() - began:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    found = list(others())
    if not found:
        print("no other Python from 3.11 to 3.14 is on this machine")
    failed = [version for version, python in found if not passes(version, python)]
    sys.exit(f"failed on Python {', '.join(failed)}" if failed else 0)
