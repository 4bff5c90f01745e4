"""A RabbitMQ that finds the data of another release: it goes on with it, or the data is set aside."""

from pathlib import Path

import pytest

from conveyor.embedded.rabbitmq_upgrade import set_aside, version_of, written_by

#: What a node of each release has enabled, as far as releases differ.
FLAGS = {
    "3.10": "[quorum_queue,stream_queue,user_limits,\n virtual_host_metadata].",
    "3.11": "[feature_flags_v2,quorum_queue,stream_queue].",
    "3.12": "[feature_flags_v2,quorum_queue,restart_streams,stream_queue].",
    "3.13": "[feature_flags_v2,message_containers,quorum_queue,restart_streams].",
    "4.0": "[feature_flags_v2,message_containers,quorum_queue,'rabbitmq_4.0.0',restart_streams].",
    "4.2": "[feature_flags_v2,message_containers,'rabbitmq_4.0.0','rabbitmq_4.1.0','rabbitmq_4.2.0'].",
}
GOES_ON = {
    ("3.10", "3.10"), ("3.10", "3.11"), ("3.11", "3.11"), ("3.11", "3.12"), ("3.11", "3.13"), ("3.12", "3.12"),
    ("3.12", "3.13"), ("3.13", "3.13"), ("3.13", "4.0"), ("3.13", "4.2"), ("4.0", "4.0"), ("4.0", "4.2"),
    ("4.2", "4.2"),
}  # fmt: skip


def data_of(folder: Path, release: str) -> Path:
    data = folder / "data"
    (data / "conveyor@localhost").mkdir(parents=True)
    (data / "conveyor@localhost-feature_flags").write_text(FLAGS[release])
    return data


def scripts_of(folder: Path, release: str) -> Path:
    server = folder / f"rabbitmq_server-{release}.7"
    (server / "plugins" / f"rabbit-{release}.7").mkdir(parents=True)
    (server / "plugins" / f"rabbit_common-{release}.7").mkdir()
    return server / "sbin"


@pytest.mark.parametrize("written", FLAGS)
@pytest.mark.parametrize("running", FLAGS)
def test_it_goes_on_where_it_can_and_says_what_it_has_set_aside_where_not(
    written: str, running: str, tmp_path: Path
) -> None:
    data, scripts = data_of(tmp_path, written), scripts_of(tmp_path, running)
    said = set_aside(data, scripts)
    assert (said is None) == ((written, running) in GOES_ON) == data.exists()
    if said is not None:
        name = "before-3.11" if written == "3.10" else written
        assert (tmp_path / f"data-of-{name}" / "conveyor@localhost").is_dir()
        assert f"RabbitMQ {running} cannot read" in said
        assert str(tmp_path / f"data-of-{name}") in said


def test_what_was_set_aside_before_stays(tmp_path: Path) -> None:
    scripts = scripts_of(tmp_path, "4.0")
    for name in ("data-of-before-3.11", "data-of-before-3.11-2", "data-of-before-3.11-3"):
        assert str(tmp_path / name) in str(set_aside(data_of(tmp_path, "3.10"), scripts))


def test_a_first_start_has_nothing_to_set_aside(tmp_path: Path) -> None:
    assert set_aside(tmp_path / "data", scripts_of(tmp_path, "4.0")) is None
    assert written_by(tmp_path / "data") is None
    assert version_of(tmp_path / "nowhere" / "sbin") is None
