"""A server whose machine or network dies says nothing. Whoever talks to it notices within 15 seconds."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

#: A network of its own, in which packets can be dropped without a trace and without rights on the machine.
ALONE = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("server", ["postgresql and not die", "postgresql and die", "rabbitmq", "valkey"])
def test_nobody_keeps_a_connection_to_a_server_that_went_silent(server: str, tmp_path: Path) -> None:
    missing = [each for each in ("iptables", "ip", "ss") if shutil.which(each) is None]
    assert not missing, f"needs {missing}: install iptables and iproute2"
    scene = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/attacks/silence/scene.py"]
    # A folder of its own: what earlier runs have left belongs to users that do not exist in there.
    scene += [f"--basetemp={tmp_path / 'alone'}", "-k", server, "-s"]
    done = subprocess.run([*ALONE, *scene], capture_output=True, text=True, timeout=380, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
