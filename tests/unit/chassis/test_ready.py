"""What the age of a ready file says."""

import os
import time
from pathlib import Path

import pytest

from chassis.ready import why_not_ready


@pytest.mark.parametrize(
    ("age", "why"),
    [
        (0, None),
        (15, None),
        (30, "nothing heard of it for 30 s"),
        (-3600, "nothing heard of it since the clock was set back"),
    ],
)
def test_a_process_works_while_it_touches_its_file(tmp_path: Path, age: int, why: str | None) -> None:
    ready = tmp_path / "ready"
    ready.touch()
    os.utime(ready, (time.time() - age,) * 2)
    assert why_not_ready(ready) == why
