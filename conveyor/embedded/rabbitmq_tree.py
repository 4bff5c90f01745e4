"""RabbitMQ out of packages that are unpacked and not installed: a folder from which it runs, as whoever unpacked it.

Erlang believes that it is in /usr/lib/erlang, and its libraries in the system's folders. Launchers in ``bin/`` tell it
otherwise, and so do those that stand in the place of Erlang's programs: each starts its program by the tree's own
dynamic linker, with the tree's own libraries. So the tree needs nothing of the distribution that it runs on, neither
root nor namespaces, and can be moved. It is used by its ``bin/`` being first on the PATH.
"""

import fcntl
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from conveyor.embedded.apt import Apt, AptFailed, Package
from conveyor.embedded.processes import EmbeddedError, inherited

PACKAGE = "rabbitmq-server"
#: The folder of trees in a state directory.
FETCHED = "fetched"
#: What unpacking takes beside the packages themselves, in multiples of their size; it was 2.6.
UNPACKED = 4
ELF = b"\x7fELF"
#: Seconds for the Erlang of a new tree to start and end; it takes one.
TRIAL = 60.0

#: Where a program is put, below where it was, that has a launcher in its place. It needs its name: escript looks at it.
BEHIND = "behind"
LAUNCHER = """\
#!/bin/sh
tree=${{0%/{launcher}}}
export ROOTDIR="$tree/usr/lib/erlang" BINDIR="$tree/{erts}" EMU=beam PROGNAME=erl
exec "$tree/{linker}" --library-path "{libraries}" "$tree/{program}" "$@"
"""


class NoTree(EmbeddedError):
    """The packages could not be fetched or unpacked, or do not run here. Nothing of the attempt is used."""


def release() -> str:
    """The distribution's release and the machine's architecture, as a folder's name: ``debian-12-x86_64``."""
    try:
        named = platform.freedesktop_os_release()
    except OSError:
        named = {}
    version = named.get("VERSION_ID") or named.get("VERSION_CODENAME") or "unknown"
    return f"{named.get('ID', 'linux')}-{version}-{platform.machine()}"


def version_of(packages: list[Package]) -> str:
    """RabbitMQ's: ``4.0.5`` where ``rabbitmq-server_4.0.5-6_all.deb`` is among them."""
    return _server(packages).file.split("_")[1].partition("-")[0]


def use(tree: Path) -> None:
    """Have this process, and all that it starts, find this RabbitMQ first."""
    os.environ["PATH"] = f"{tree / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def make(
    tree: Path,
    apt: Apt,
    say: Callable[[str], None],
    show: Callable[[str], None] = lambda _words: None,
) -> None:
    """Fetch RabbitMQ's packages and make a tree of them; what an earlier attempt fetched is used.

    Who makes the same tree meanwhile is waited for. ``say`` is told once what is fetched, ``show`` again and again how
    far it is. Raises NoTree.
    """
    if any(letter.isspace() for letter in str(tree)):
        raise NoTree(f"RabbitMQ's scripts cannot run in a folder with a blank in its name: {tree}")
    try:
        tree.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tree.with_name(f"{tree.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not tree.exists():
                _make(tree, apt, say, show)
    except OSError as error:
        raise NoTree(f"{error.filename or tree}: {error.strerror}") from error
    except AptFailed as error:
        raise NoTree(str(error)) from error


def _make(tree: Path, apt: Apt, say: Callable[[str], None], show: Callable[[str], None]) -> None:
    draft = tree.with_name(f"{tree.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        show("  looking for RabbitMQ's packages ...")
        packages = _fetch(tree, apt, say, show)
        show("  unpacking RabbitMQ ...")
        for each in packages:
            _unpack(each.path(apt.archives), draft)
        _add_launchers(draft)
        _try_out(draft)
        os.sync()  # a tree that has its name is whole, also after the machine has crashed
        draft.rename(tree)
        shutil.rmtree(apt.folder)
    finally:
        show("")
        shutil.rmtree(draft, ignore_errors=True)


def _fetch(tree: Path, apt: Apt, say: Callable[[str], None], show: Callable[[str], None]) -> list[Package]:
    packages = apt.resolve(PACKAGE)
    show("")
    say(_what(packages, tree))
    try:
        _download(packages, apt, show)
    except AptFailed:  # the lists may be older than what the archive has now
        packages = apt.resolve_anew(PACKAGE)
        _download(packages, apt, show)
    return packages


def _what(packages: list[Package], tree: Path) -> str:
    parts = urlsplit(_server(packages).uri)
    origin = f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:{Path(parts.path).parent}"
    megabytes = sum(each.size for each in packages) / 1e6
    return (
        f"Fetching RabbitMQ {version_of(packages)} for this folder alone: {len(packages)} packages, "
        f"{megabytes:.0f} MB, from {origin}, signatures checked by APT, into {tree}."
    )


def _server(packages: list[Package]) -> Package:
    return next(each for each in packages if each.file.startswith(f"{PACKAGE}_"))


def _download(packages: list[Package], apt: Apt, show: Callable[[str], None]) -> None:
    total = sum(each.size for each in packages)
    apt.archives.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(apt.archives).free
    if free < total * (1 + UNPACKED):
        raise NoTree(f"the disk has {free >> 20} MiB left; {total * (1 + UNPACKED) >> 20} are needed for a moment")

    def tell() -> None:
        there = sum(each.stat().st_size for each in apt.archives.rglob("*.deb") if each.is_file())
        show(f"  fetching RabbitMQ: {min(there, total) / 1e6:.0f} of {total / 1e6:.0f} MB ...")

    apt.download(PACKAGE, tell)


def _unpack(package: Path, tree: Path) -> None:
    tree.mkdir(mode=0o700, parents=True, exist_ok=True)
    done = subprocess.run(
        ["dpkg-deb", "--extract", str(package), str(tree)], env=inherited(), capture_output=True, text=True
    )
    if done.returncode:
        raise NoTree(done.stderr.strip().partition("\n")[0])


def _add_launchers(tree: Path) -> None:
    linker = _only(tree, "lib/*/ld-linux*.so.*", "usr/lib/*/ld-linux*.so.*")
    erts = _only(tree, "usr/lib/erlang/erts-*/bin")
    folders = [each for each in (linker.parent, tree / "usr" / "lib" / linker.parent.name) if each.is_dir()]
    libraries = ":".join(dict.fromkeys(f"$tree/{each.relative_to(tree)}" for each in folders))
    common = {"erts": erts.relative_to(tree), "linker": linker.relative_to(tree), "libraries": libraries}

    def launch(program: Path, launcher: Path) -> None:
        launcher.parent.mkdir(exist_ok=True)
        launcher.unlink(missing_ok=True)
        paths = {"program": program.relative_to(tree), "launcher": launcher.relative_to(tree)}
        launcher.write_text(LAUNCHER.format(**common, **paths))
        launcher.chmod(0o755)

    for each in list(_programs(tree / "usr" / "lib" / "erlang")):
        (each.parent / BEHIND).mkdir(exist_ok=True)
        launch(each.rename(each.parent / BEHIND / each.name), each)
    for name, program in {"erl": "erlexec", "epmd": "epmd", "escript": "escript"}.items():
        launch(erts / BEHIND / program, tree / "bin" / name)
    scripts = _only(tree, "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin")
    for name in ("rabbitmq-server", "rabbitmqctl"):
        (tree / "bin" / name).symlink_to(Path("..") / scripts.relative_to(tree) / name)


def _programs(folder: Path) -> Iterator[Path]:
    """What the kernel would start by the system's dynamic linker; libraries are loaded by whoever uses them."""
    for each in folder.rglob("bin/*"):
        if each.is_file() and not each.is_symlink():
            with each.open("rb") as file:
                if file.read(len(ELF)) == ELF:
                    yield each


def _only(tree: Path, *patterns: str) -> Path:
    found = [each for pattern in patterns for each in tree.glob(pattern)]
    if not found:
        raise NoTree(f"the packages have no {patterns[-1]}")
    return found[0]


def _try_out(tree: Path) -> None:
    """Does its Erlang start here, with the libraries that cryptography takes?"""
    code = "{ok, _} = application:ensure_all_started(crypto), halt(0)."
    command = [str(tree / "bin" / "erl"), "-noinput", "-eval", code]
    environment = inherited() | {"HOME": str(tree)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TRIAL)
    except subprocess.TimeoutExpired as error:
        raise NoTree(f"its Erlang does not start within {TRIAL:g} s") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().partition("\n")[0]
        raise NoTree(f"its Erlang does not run here: {said or f'exit code {done.returncode}'}")
