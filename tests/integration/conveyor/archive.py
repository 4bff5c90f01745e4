"""A small archive of packages, as APT sees it: a RabbitMQ that is a shell script, and an Erlang that is ``true``."""

import hashlib
import shutil
import subprocess
from pathlib import Path

TRUE, FALSE = (Path(f"/bin/{name}").resolve() for name in ("true", "false"))


class Archive:
    """A folder with packages and their index, for a line of ``sources.list``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._stanzas: dict[str, str] = {}

    def source(self, scheme: str = "copy", options: str = "[trusted=yes] ") -> str:
        """The line that leads to it. It is not signed."""
        return f"deb {options}{scheme}:{self.folder} ./\n"

    def add(self, name: str, version: str, files: dict[str, Path | str], depends: str = "") -> Path:
        """A package with these files, each a file to copy or a script. Returns the package's file."""
        content = self.folder / f"{name}.content"
        for place, what in files.items():
            path = content / place
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(what, Path):
                shutil.copy(what, path)
            else:
                path.write_text(what)
                path.chmod(0o755)
        control = content / "DEBIAN" / "control"
        control.parent.mkdir(parents=True)
        control.write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Ada <ada@example.com>\n"
            f"Description: for a test\n{f'Depends: {depends}' + chr(10) if depends else ''}"
        )
        built = self.folder / f"{name}_{version}_all.deb"
        subprocess.run(["dpkg-deb", "--build", "-Znone", str(content), str(built)], check=True, capture_output=True)
        self._stanzas[name] = control.read_text() + self._index(built)
        self.write()
        shutil.rmtree(content)
        return built

    def write(self) -> None:
        (self.folder / "Packages").write_text("\n".join(self._stanzas.values()))

    def add_release(self) -> None:
        """What says what the index is, and would be signed."""
        index = (self.folder / "Packages").read_bytes()
        entry = f" {hashlib.sha256(index).hexdigest()} {len(index)} Packages"
        (self.folder / "Release").write_text(f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n{entry}\n")

    @staticmethod
    def _index(package: Path) -> str:
        content = package.read_bytes()
        return f"Filename: ./{package.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"


def with_rabbitmq(folder: Path, version: str = "9.8.7-1") -> Archive:
    """An archive whose RabbitMQ can be unpacked and found, and whose Erlang starts and ends."""
    archive = Archive(folder)
    linker = next(Path("/").glob("lib/*-linux-gnu*/ld-linux*.so.*"))
    triplet = linker.parent.name
    libraries = {f"usr/lib/{triplet}/{name}": linker.parent / name for name in (linker.name, "libc.so.6")}
    archive.add("libc6", "1", dict(libraries))
    programs = (*(f"erts-1/bin/{name}" for name in ("erlexec", "epmd", "escript")), "lib/os_mon-1/priv/bin/memsup")
    archive.add("erlang-base", "1", {f"usr/lib/erlang/{name}": TRUE for name in programs}, "libc6")
    scripts = "usr/lib/rabbitmq/lib/rabbitmq_server-9.8.7"
    names = ("rabbitmq-server", "rabbitmqctl", "rabbitmq-env")
    files: dict[str, Path | str] = {f"{scripts}/sbin/{name}": "#!/bin/sh\n" for name in names}
    archive.add("rabbitmq-server", version, {**files, f"{scripts}/plugins/README": "none\n"}, "erlang-base")
    return archive
