"""Builds every package into ``dist/``: ``make dist``, or ``build.py wheel kit deb image`` for some.

Nothing depends on the machine or the time: the locked dependencies in ``requirements.txt`` have
hashes, and every date is that of the last commit. Two builds have the same digests.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from man_pages import write_pages
from sbom import write_sbom

from mirror import __version__

HERE = Path(__file__).resolve().parent
TOP = HERE.parent
DIST = TOP / "dist"
WHEELS = TOP / "build" / "wheels"
PYTHONS = ("3.11", "3.12", "3.13")
"""The versions of Python that the offline kit and the image's bases may have."""

DEBIANS = {"12": "3.11", "13": "3.13"}
"""The Python of each Debian release that a package can be built for."""

KIT = f"release-mirror-{__version__}-offline-linux-{platform.machine()}"
LIBRARY = "usr/lib/release-mirror"
UNITS = ("release-mirror.service", "release-mirror-sync.service", "release-mirror-sync.timer")


def run(*command: str | Path, **more: str) -> str:
    """Run a program, with more environment variables, and return what it prints."""
    done = subprocess.run(  # noqa: S603 - our own words alone
        [str(word) for word in command],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=TOP,
        env={**os.environ, **more},
    )
    return done.stdout


def commit_time() -> int:
    """Seconds since 1970 of the last commit, or what ``SOURCE_DATE_EPOCH`` says."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct"))


def digest(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def own_wheel() -> Path:
    """The wheel in ``dist/``."""
    return DIST / f"release_mirror-{__version__}-py3-none-any.whl"


def build_wheel(epoch: int) -> list[Path]:
    """Build the wheel and the source distribution."""
    run(sys.executable, "-m", "hatchling", "build", "-d", DIST, SOURCE_DATE_EPOCH=str(epoch))
    return [own_wheel(), DIST / f"release_mirror-{__version__}.tar.gz"]


def download_wheels() -> None:
    """Fetch the locked wheels of every supported Python, once."""
    stamp = WHEELS / ".complete"
    wanted = digest(HERE / "requirements.txt")
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(WHEELS, ignore_errors=True)
    for version in PYTHONS:
        print(f"Downloading the dependencies for Python {version} …", flush=True)  # noqa: T201
        pip("download", "--python-version", version, "--dest", WHEELS)
    stamp.write_text(wanted)


def pip(command: str, *arguments: str | Path) -> None:
    """Have pip take exactly the locked wheels."""
    run(
        *(sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check", command),
        *("--require-hashes", "--no-deps", "--only-binary=:all:"),
        *("--requirement", HERE / "requirements.txt", *arguments),
    )


def build_kit(epoch: int) -> list[Path]:
    """Build the offline kit: one archive with every wheel and its digest."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary, KIT)
        shutil.copytree(WHEELS, root / "wheels", ignore=shutil.ignore_patterns(".complete"))
        shutil.copy(own_wheel(), root / "wheels")
        shutil.copy(HERE / "offline" / "install", root)
        shutil.copy(TOP / "LICENSE", root)
        shutil.copytree(TOP / "systemd", root / "systemd")
        shutil.copytree(TOP / "config", root / "config")
        (root / "requirements.txt").write_text(_requirements(root / "wheels"), "utf-8")
        path = DIST / f"{KIT}.tar.gz"
        pack(root, path, epoch)
    return [path]


def _requirements(wheels: Path) -> str:
    hashes: dict[str, list[str]] = {}
    for wheel in sorted(wheels.glob("*.whl")):
        name, version, *_ = wheel.name.split("-")
        requirement = f"{name.lower().replace('_', '-')}=={version}"
        hashes.setdefault(requirement, []).append(f" --hash=sha256:{digest(wheel)}")
    return "".join(f"{name}{''.join(all_of)}\n" for name, all_of in hashes.items())


def pack(root: Path, path: Path, epoch: int) -> None:
    """Write a .tar.gz that depends on nothing but the files' names, modes and content."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = epoch
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=epoch) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        archive.add(root, root.name, recursive=False, filter=plain)
        for item in sorted(root.rglob("*")):
            archive.add(item, str(item.relative_to(root.parent)), recursive=False, filter=plain)


def build_deb(epoch: int) -> list[Path]:
    """Build a Debian package that carries its own environment."""
    release = os.environ.get("DEBIAN", "12")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary, "root")
        _environment(root / LIBRARY, DEBIANS[release])
        _system_files(root, epoch)
        architecture = run("dpkg", "--print-architecture").strip()
        version = f"{__version__}-1~deb{release}"
        control = root / "DEBIAN"
        # Without the dates of the checkout: dpkg-deb keeps those before the commit.
        shutil.copytree(HERE / "debian" / "control.d", control, copy_function=shutil.copyfile)
        (control / "control").write_text(
            (HERE / "debian" / "control")
            .read_text("utf-8")
            .format(
                version=version,
                architecture=architecture,
                python=f"python{DEBIANS[release]}",
                size=sum(f.stat().st_size for f in root.rglob("*") if f.is_file()) // 1024,
            ),
            "utf-8",
        )
        _modes(root)
        _checksums(root)
        path = DIST / f"release-mirror_{version}_{architecture}.deb"
        run("dpkg-deb", "--root-owner-group", "-Zxz", "-z0", "--build", root, path,
            SOURCE_DATE_EPOCH=str(epoch))  # fmt: skip
    return [path]


def _environment(target: Path, python: str) -> None:
    """A virtual environment for Debian's own Python, made without running it."""
    packages = target / "lib" / f"python{python}" / "site-packages"
    pip("install", "--no-compile", "--no-index", "--find-links", WHEELS,
        "--python-version", python, "--target", packages)  # fmt: skip
    # By name: of a wheel's path, pip would record the directory of the build.
    run(sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check", "install",
        "--no-compile", "--no-index", "--no-deps", "--only-binary=:all:",
        "--find-links", DIST, "--python-version", python, "--target", packages,
        f"release-mirror=={__version__}")  # fmt: skip
    shutil.rmtree(packages / "bin")
    programs = target / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(f"/usr/bin/python{python}")
    (target / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {python}\n", "utf-8"
    )
    program = programs / "release-mirror"
    program.write_text(
        f"#!/{LIBRARY}/bin/python3\nfrom mirror.cli.main import main\n\nmain()\n", "utf-8"
    )
    program.chmod(0o755)


def _system_files(root: Path, epoch: int) -> None:
    """Units, user, configuration, man pages, completion scripts, licences."""
    _link(root / "usr/bin/release-mirror", "../lib/release-mirror/bin/release-mirror")
    for name in UNITS:
        text = (TOP / "systemd" / name).read_text("utf-8")
        _write(
            root / "lib/systemd/system" / name,
            text.replace("/opt/release-mirror/bin/release-mirror", "/usr/bin/release-mirror"),
        )
    users = (TOP / "systemd" / "release-mirror.sysusers.conf").read_text("utf-8")
    _write(root / "usr/lib/sysusers.d/release-mirror.conf", users)
    _write(
        root / "etc/release-mirror/config.toml",
        (TOP / "config" / "packaged.toml").read_text("utf-8"),
    )
    documents = root / "usr/share/doc/release-mirror"
    for name in ("full.toml", "crontab.example"):
        _write(documents / "examples" / name, (TOP / "config" / name).read_text("utf-8"))
    example = TOP / "systemd" / "release-mirror.service.d" / "example.conf"
    _write(documents / "examples" / "drop-in.conf", example.read_text("utf-8"))
    _write(documents / "copyright", (HERE / "debian" / "copyright").read_text("utf-8"))
    _zip(documents / "NEWS.gz", (TOP / "CHANGELOG.md").read_text("utf-8"))
    dated = run("date", "-u", "-R", "-d", f"@{epoch}").strip()
    _zip(
        documents / "changelog.Debian.gz",
        (HERE / "debian" / "changelog").read_text("utf-8").format(version=__version__, date=dated),
    )
    overrides = (HERE / "debian" / "lintian-overrides").read_text("utf-8")
    _write(root / "usr/share/lintian/overrides/release-mirror", overrides)
    with tempfile.TemporaryDirectory() as pages:
        write_pages(Path(pages), epoch)
        for page in sorted(Path(pages).iterdir()):
            _zip(root / "usr/share/man/man1" / f"{page.name}.gz", page.read_text("utf-8"))
    for shell, place in {
        "bash": "bash-completion/completions/release-mirror",
        "zsh": "zsh/vendor-completions/_release-mirror",
        "fish": "fish/vendor_completions.d/release-mirror.fish",
    }.items():
        script = run(sys.executable, "-m", "mirror", "completion", shell)
        _write(root / "usr/share" / place, script)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _zip(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _modes(root: Path) -> None:
    """Directories and programs 0755, files 0644, whatever the umask of the build."""
    root.chmod(0o755)
    for item in root.rglob("*"):
        if item.is_symlink():
            continue
        runs = item.is_dir() or (item.parent.name in {"DEBIAN", "bin"} and item.suffix == "")
        item.chmod(0o755 if runs and item.name not in {"control", "conffiles"} else 0o644)


def _checksums(root: Path) -> None:
    lines = []
    for item in sorted(root.rglob("*")):
        name = item.relative_to(root)
        if item.is_file() and not item.is_symlink() and name.parts[0] not in {"DEBIAN", "etc"}:
            with item.open("rb") as stream:
                found = hashlib.file_digest(stream, "md5").hexdigest()
            lines.append(f"{found}  {name}\n")
    path = root / "DEBIAN" / "md5sums"
    path.write_text("".join(lines), "utf-8")
    path.chmod(0o644)


def build_image(epoch: int) -> list[Path]:
    """Build the container image with buildah, as an OCI archive.

    The environment variable ``BASE`` names the base image, ``BUILDAH_ARGS`` more options.
    """
    base = os.environ.get("BASE")
    path = DIST / f"release-mirror-{__version__}-image-linux-{platform.machine()}.tar"
    path.unlink(missing_ok=True)
    more = os.environ.get("BUILDAH_ARGS", "").split()
    revision = run("git", "rev-parse", "HEAD").strip()
    run(
        *("buildah", "build", "--quiet", "--format=docker", "--timestamp", str(epoch), *more),
        *((f"--build-arg=BASE={base}",) if base else ()),
        f"--build-arg=VERSION={__version__}",
        f"--build-arg=REVISION={revision}",
        f"--build-arg=SOURCE_DATE_EPOCH={epoch}",
        *(
            "--tag",
            f"localhost/release-mirror:{__version__}",
            "--file",
            TOP / "Containerfile",
            DIST,
        ),
    )
    run("buildah", "push", "--quiet", f"localhost/release-mirror:{__version__}",
        f"docker-archive:{path}:localhost/release-mirror:{__version__}")  # fmt: skip
    settle_image(path)
    return [path]


def settle_image(path: Path) -> None:
    """Remove from an image's configuration the names of the containers that built it.

    Nothing else in the archive differs between two builds. The OCI format has none of them, but no
    health check either.
    """
    settled = path.with_suffix(".settled")
    with tarfile.open(path) as old, tarfile.open(settled, "w") as new:
        (manifest,) = json.loads(_content(old, "manifest.json"))
        config = json.loads(_content(old, manifest["Config"]))
        config.pop("container", None)
        for part in ("config", "container_config"):
            config.get(part, {}).pop("Hostname", None)
        text = json.dumps(config, separators=(",", ":")).encode()
        manifest["Config"] = f"{hashlib.sha256(text).hexdigest()}.json"
        for name, content in {
            manifest["Config"]: text,
            "manifest.json": json.dumps([manifest], separators=(",", ":")).encode(),
        }.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            new.addfile(entry, io.BytesIO(content))
        for name in dict.fromkeys(manifest["Layers"]):
            layer = old.getmember(name)
            entry = tarfile.TarInfo(name)
            entry.size = layer.size
            new.addfile(entry, old.extractfile(layer))
    settled.replace(path)


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    if stream is None:
        sys.exit(f"build.py: the image has no {name}")
    return stream.read()


BUILDERS = {"wheel": build_wheel, "kit": build_kit, "deb": build_deb, "image": build_image}


def main(wanted: list[str]) -> None:
    """Build what is asked for, else everything; the wheel comes first, since all others hold it."""
    epoch = commit_time()
    download_wheels()  # the bills of materials tell their licences
    DIST.mkdir(exist_ok=True)
    for name in wanted or BUILDERS:
        for path in BUILDERS[name](epoch):
            write_sbom(path, epoch, digest(path), HERE / "requirements.txt", WHEELS)
            print(f"{path.stat().st_size / 1e6:8.1f} MB  {path.relative_to(TOP)}", flush=True)  # noqa: T201
    files = sorted(
        f for f in DIST.iterdir() if f.is_file() and f.name != "SHA256SUMS" and f.name[0] != "."
    )
    (DIST / "SHA256SUMS").write_text("".join(f"{digest(f)}  {f.name}\n" for f in files), "utf-8")


if __name__ == "__main__":
    unknown = [name for name in sys.argv[1:] if name not in BUILDERS]
    if unknown:
        sys.exit(f"build.py: unknown package {unknown[0]!r}; choose from {', '.join(BUILDERS)}")
    main(sys.argv[1:])
