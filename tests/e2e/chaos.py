"""A chaos run as people start it, and, for a negative control, one whose stack is patched from outside.

``run_chaos(folder, patch=CODE)`` puts CODE into a ``sitecustomize.py`` on the PYTHONPATH of the run. Python runs that
file at the start of every process: supervisor, workers, relays, web processes. Nothing of ours is imported by then, and
most processes never import most modules; so CODE says what to do once a module has been imported:

    @after_import("sales.following")
    def no_versions(module):
        module._Following._keep_newest_pair = lambda self, message: ...

The patched process says so in its log (``patched sales.following``), and a control asserts that with ``patched()``: a
patch that never took hold would prove nothing. What a patch removes from a database (an index) can be done the same
way, ``@after_import("conveyor.setup")``: that is the process that migrates, before any other starts.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: What every ``sitecustomize.py`` begins with. A finder in front of all others lets the real ones find a module, and
#: calls the patch when it has been executed.
PRELUDE = """
import importlib.abc, importlib.machinery, sys

patches = {}

def after_import(name):
    def register(patch):
        patches[name] = patch
        return patch
    return register

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name not in patches:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            patches[name](module)
            print(f"patched {name}", file=sys.stderr, flush=True)
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""


@dataclass(frozen=True)
class Ran:
    """A chaos run that has ended: its exit code, what it printed, and where its logs are."""

    code: int
    said: str
    logs: Path

    @property
    def verdict(self) -> dict[str, int]:
        """The numbers of its last line. Raises AssertionError where that is no verdict."""
        last = self.said.splitlines()[-1]
        assert re.fullmatch(r"CHAOS( \w+=\d+)+", last), self.said
        return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", last)}

    @property
    def violations(self) -> set[str]:
        """The kinds of violations that it names."""
        return set(re.findall(r"VIOLATION (\w+)", self.said))

    def patched(self, module: str) -> bool:
        """Whether the patch of this module took hold in any process."""
        return any(f"patched {module}\n" in log.read_text(errors="replace") for log in self.logs.glob("*.log"))


def run_chaos(
    folder: Path, *, seed: int = 1, minutes: float = 1.0, orders: int = 200, patch: str = "", **settings: str
) -> Ran:
    """Run it in this folder, where its state stays. ``patch`` is Python, as above; ``settings`` by field name."""
    (folder / "sitecustomize.py").write_text(PRELUDE + patch if patch else "")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CONVEYOR_", "FLOWER_"))}
    chosen = {"state_dir": str(folder / "state"), **settings}
    told = {f"CONVEYOR_{name.upper()}": value for name, value in chosen.items()}
    arguments = [f"--seed={seed}", f"--minutes={minutes}", f"--orders={orders}"]
    ran = subprocess.run(
        [sys.executable, "-m", "conveyor", "chaos", *arguments],
        env={**inherited, **told, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Ran(ran.returncode, ran.stdout, folder / "state" / "chaos" / "logs")
