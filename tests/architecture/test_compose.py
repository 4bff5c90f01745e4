"""docker-compose.yml as written: nobody is given what is not theirs, and every command in it is one that we have."""

import os
import re
import subprocess
import sys
import time
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from celeryconfig import QUEUE_OF_TASK, queues_of
from chassis.errors import UnknownHost
from chassis.hosts import Hosts
from chassis.settings import PREFIX, read
from conveyor.cli import cli
from conveyor.embedded.valkey import CACHE_MEMORY

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = YAML(typ="safe").load(FILE)["services"]
OURS = {name: each for name, each in SERVICES.items() if each["image"].startswith("conveyor:")}
WORKERS = {name: each for name, each in OURS.items() if each.get("command", [""])[0] == "worker"}

#: Which databases' URLs a process of ours is given; the others are given none.
DATABASES = {
    "setup": {"sales", "inventory", "delivery"},
    "operator": {"sales", "inventory", "delivery"},
    "sales": {"sales"},
    "worker-sales": {"sales"},
    "relay-sales": {"sales"},
    "sweeper": {"sales"},
    "quarantine": {"sales"},
    "inventory": {"inventory"},
    "worker-inventory-check": {"inventory"},
    "worker-inventory-stock": {"inventory"},
    "relay-inventory": {"inventory"},
    "delivery": {"delivery"},
    "worker-delivery": {"delivery"},
    "relay-delivery": {"delivery"},
}
#: How a secret is written: taken from .env, with its name in the message to whoever has none.
FROM_ENV = re.compile(r"\$\{([A-Z_]+):\?set \1 in \.env\}")


def option(service: dict[str, Any], name: str) -> str:
    command = service["command"]
    return str(command[command.index(name) + 1])


def settings_of(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in service["environment"].items() if name.startswith(PREFIX)}


def test_the_file_keeps_to_the_compose_specification() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec"]
    answer = subprocess.run([sys.executable, "-m", "check_jsonschema", *schema, FILE], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("name", [name for name, each in OURS.items() if each.get("command", [""])[0] == "serve"])
def test_a_web_process_answers_to_the_name_that_the_others_ask_it_by_and_to_the_hosts(name: str) -> None:
    told = {key: value.replace("${GATEWAY_HOSTS:-}", "shop.example") for key, value in settings_of(OURS[name]).items()}
    hosts = Hosts(read({key: value for key, value in told.items() if "DATABASE" not in key and "REDIS" not in key}))
    for host in (f"{name}:3000", "127.0.0.1:3001", "localhost:3001", "shop.example"):
        hosts.check({"HTTP_HOST": host, "PATH_INFO": "/", "REQUEST_METHOD": "POST"})
    with pytest.raises(UnknownHost):
        hosts.check({"HTTP_HOST": "evil.example", "PATH_INFO": "/", "REQUEST_METHOD": "GET"})


def test_redis_is_bounded_and_drops_what_would_expire_next() -> None:
    assert option(SERVICES["redis"], "--maxmemory") == CACHE_MEMORY
    assert option(SERVICES["redis"], "--maxmemory-policy") == "volatile-ttl"


@pytest.mark.parametrize(
    ("server", "default"), [("postgres", "postgres:17"), ("rabbitmq", "rabbitmq:4.2-management"), ("redis", "redis:7")]
)
def test_another_image_of_a_server_is_named_in_env(server: str, default: str) -> None:
    variable = f"{server.upper()}_IMAGE"
    assert SERVICES[server]["image"] == f"${{{variable}:-{default}}}"
    assert f"\n# {variable}=" in (ROOT / ".env.example").read_text()


def test_postgres_keeps_its_data_in_its_volume_whatever_its_image_takes_for_the_place() -> None:
    mounted = [each.partition(":")[2] for each in SERVICES["postgres"]["volumes"] if each.startswith("postgres-data:")]
    assert mounted == [SERVICES["postgres"]["environment"]["PGDATA"]]


def test_redis_is_started_by_its_image_and_asked_by_the_program_that_it_has() -> None:
    """Images of Valkey have a server and a client of other names."""
    assert SERVICES["redis"]["command"][0].startswith("--")
    assert "valkey-cli || echo redis-cli" in SERVICES["redis"]["healthcheck"]["test"][1]


def test_the_file_is_for_the_old_docker_compose_as_well_as_for_the_new() -> None:
    assert not {"name", "version"} & set(YAML(typ="safe").load(FILE))


def test_every_queue_has_exactly_one_worker_service() -> None:
    consumed = [queue for worker in WORKERS.values() for queue in option(worker, "--queues").split(",")]
    assert sorted(consumed) == sorted(set(QUEUE_OF_TASK.values()))


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_service_consumes_queues_of_its_own_service(name: str) -> None:
    assert set(option(WORKERS[name], "--queues").split(",")) <= set(queues_of(WORKERS[name]["command"][1]))


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_service_can_be_scaled(name: str) -> None:
    assert not {"container_name", "hostname", "ports"} & set(WORKERS[name])


@pytest.mark.parametrize("name", OURS)
def test_a_process_is_given_the_url_of_its_own_database_and_no_other(name: str) -> None:
    suffix = "_DATABASE_URL"
    given = {each.removeprefix(PREFIX).removesuffix(suffix) for each in settings_of(OURS[name]) if suffix in each}
    assert {each.lower() for each in given} == DATABASES.get(name, set())


@pytest.mark.parametrize("name", OURS)
def test_a_process_is_given_only_settings_that_exist(name: str) -> None:
    # What stands in .env is filled in.
    read({name: re.sub(r"\$\{.*?\}", "secret", value) for name, value in settings_of(OURS[name]).items()})


@pytest.mark.parametrize("service", ["sales", "inventory", "delivery"])
def test_whoever_wakes_a_relay_knows_it_by_the_name_it_listens_on(service: str) -> None:
    addresses = {settings_of(each).get(f"{PREFIX}{service.upper()}_RELAY") for each in OURS.values()} - {None}
    hosts = [str(address).rpartition(":")[0] for address in addresses]
    assert hosts == [name for name, each in OURS.items() if each.get("command") == ["relay", service]]


@pytest.mark.parametrize("name", [name for name, each in OURS.items() if "entrypoint" not in each])
def test_every_command_is_one_of_the_command_line(name: str) -> None:
    command: click.Command = cli
    arguments = [str(each) for each in OURS[name]["command"]]
    while isinstance(command, click.Group):
        word = arguments.pop(0)
        found = command.get_command(click.Context(command), word)
        assert found is not None, f"there is no command {word}"
        command = found
    command.make_context(name, arguments)


def test_every_command_of_the_setup_is_one_of_the_command_line() -> None:
    for line in OURS["setup"]["entrypoint"][-1].split(" && "):
        program, word = line.split()
        assert program == "conveyor"
        assert cli.get_command(click.Context(cli), word) is not None


def test_only_gateway_and_flower_are_published_and_only_on_this_host() -> None:
    published = {name: each["ports"] for name, each in SERVICES.items() if "ports" in each}
    assert set(published) == {"gateway", "flower"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_the_operator_knows_everything_and_is_started_by_hand_only() -> None:
    given = {name for each in OURS.values() for name in settings_of(each) if name.endswith("_URL")}
    assert given - {f"{PREFIX}{each}_URL" for each in ("SALES", "INVENTORY", "DELIVERY")} == {
        name for name in settings_of(OURS["operator"]) if name.endswith("_URL")
    }
    assert OURS["operator"]["profiles"] == ["operator"]
    assert OURS["operator"]["restart"] == "no"


def test_no_secret_is_in_the_file() -> None:
    text = FROM_ENV.sub("<from .env>", FILE.read_text())
    in_urls = set(re.findall(r"://[^:/@]*:([^@/]*)@", text))
    in_variables = set(re.findall(r"^ *\w*(?:PASS|AUTH|SECRET|TOKEN)\w*: (.*)$", text, re.MULTILINE))
    assert in_urls == {"<from .env>"}
    assert in_variables == {"<from .env>", "conveyor:<from .env>"}


def test_the_command_in_env_example_makes_every_secret_that_the_file_asks_for(tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text()
    (tmp_path / ".env.example").write_text(example)
    command = re.search(r"^#   (\(umask .*\))$", example, re.MULTILINE)
    assert command
    subprocess.run(["sh", "-c", command[1]], cwd=tmp_path, check=True)
    made = dict(re.findall(r"^([A-Z_]+)=([0-9a-f]{48})$", (tmp_path / ".env").read_text(), re.MULTILINE))
    assert set(made) == set(FROM_ENV.findall(FILE.read_text()))
    assert len(set(made.values())) == len(made)
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0


def test_every_process_of_ours_is_the_same_image_and_it_is_built_once() -> None:
    assert {each["image"] for each in OURS.values()} == {"conveyor:local"}
    assert [name for name, each in SERVICES.items() if "build" in each] == ["setup"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"setup", "operator"}))
def test_a_process_says_whether_it_is_well_and_comes_back_when_it_dies(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize(("age", "well"), [(0, True), (25, True), (60, False), (-3600, False)])
def test_a_worker_is_well_while_it_touches_its_file_whatever_the_clock_says(
    tmp_path: Path, age: int, well: bool
) -> None:
    ready = tmp_path / "ready"
    ready.touch()
    os.utime(ready, (time.time() - age,) * 2)
    kind, command = SERVICES["worker-inventory-check"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    asked = subprocess.run(command.replace("/tmp/ready", str(ready)), shell=True, check=False)
    assert (asked.returncode == 0) == well


def test_the_image_is_made_of_every_package_and_not_of_the_secrets() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    packages = {each.partition(".")[0] for each in config["options"]["packages"].split()}
    everything, *named = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
    assert everything == "*"
    assert packages | {"celeryconfig.py"} <= {line[1:] for line in named if line.startswith("!")}
    assert not [line for line in named if line.startswith("!.")]


def test_the_image_builds_without_buildkit_and_does_not_run_as_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert not [line for line in lines if re.search(r"--mount|--chmod|<<|^# *syntax", line)]
    assert [line for line in lines if line.startswith("USER ")] == ["USER conveyor"]
