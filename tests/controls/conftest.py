"""The world of the crash points, with a guard taken away or with all of them in place."""

import re
from collections.abc import Callable

import pytest

from tests.controls.guards import Guard, Scene, judge
from tests.crashpoints.conftest import sweep as sweep
from tests.crashpoints.sweep import Sweep

Control = Callable[..., None]


@pytest.fixture(params=["guarded", "unguarded"])
def control(request: pytest.FixtureRequest, sweep: Sweep) -> Control:
    """Plays a story twice, in two tests: guarded, nothing may be found; unguarded, ``finds`` has to be.

    ``finds`` is a pattern for one of the lines of violations; None says that another guard holds, so that nothing is
    found without this one. What the two runs share is ``scene``.
    """

    def play(guard: Guard, tell: Callable[[Sweep], None], *, finds: str | None, scene: Scene | None = None) -> None:
        found = judge(sweep, guard if request.param == "unguarded" else Guard(), tell, scene or {})
        if request.param == "guarded" or finds is None:
            assert found == [], found
        else:
            assert any(re.match(finds, line) for line in found), found

    return play
