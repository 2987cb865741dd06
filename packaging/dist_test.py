"""Builds every package twice, and installs and runs each on something fresh: ``make dist-test``.

The fresh things are virtual environments and a Debian root, which is made with the machine's own apt
sources; the image's base is made from that root. Everything is removed afterwards, and everything
runs in namespaces of its own, so that no process and no mount outlives it. Needs root, and network for
the package index and apt alone: what is installed runs without.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from build import DIST, KIT, TOP, WHEELS, commit_time, digest, own_wheel, run

from mirror import __version__

PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "buildah": "buildah",
    "podman": "podman",
    "runc": "runc",
    "lintian": "lintian",
    "dpkg-deb": "dpkg",
    "ip": "iproute2",
    "unshare": "util-linux",
}
"""The programs that are needed, and Debian's packages of them."""

IMAGE = f"localhost/release-mirror:{__version__}"
IMAGE_FILE = f"release-mirror-{__version__}-image-linux-{platform.machine()}.tar"
PODMAN = ("podman", "--runtime=runc", "--cgroup-manager=cgroupfs")
# The limits of a build machine may be lower than podman's default, which it could then not set.
LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096", "--read-only", "--network=none")
FIRST_SYNC = TOP / "packaging" / "first_sync.sh"
APT = "apt-get -qq -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Options::=--force-confold"
MEMORY = 4 << 30
"""Bytes that everything fits into; with twice as much memory available, the disk is not used."""

BEGUN = time.monotonic()


class CheckFailed(Exception):
    """A package is not as it should be; the text says what is wrong."""


def require(wanted: bool, what: str) -> None:
    """End the test with ``what`` unless the condition holds."""
    if not wanted:
        raise CheckFailed(what)


async def call(*command: str | Path, status: int = 0, env: dict[str, str] | None = None) -> str:
    """Run a program, with more environment variables; return what it prints, errors included.

    Raises:
        CheckFailed: It ended with another status.
    """
    process = await asyncio.create_subprocess_exec(
        *(str(word) for word in command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )
    try:
        output = (await process.communicate())[0].decode(errors="replace")
    except asyncio.CancelledError:  # another check failed
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    words = " ".join(str(word) for word in command)
    require(
        process.returncode == status,
        f"{words}\nended with status {process.returncode} instead of {status}:\n{output[-4000:]}",
    )
    return output


def passed(what: str) -> None:
    """Say that something is as it should be, and when that was known."""
    print(f"{time.monotonic() - BEGUN:6.1f} s  {what}", flush=True)


async def build(top: Path, *wanted: str, more: dict[str, str] | None = None) -> None:
    """Build packages from a source tree."""
    await call(
        sys.executable,
        top / "packaging" / "build.py",
        *wanted,
        env={"PYTHONPATH": str(top), **(more or {})},
    )


# ---- wheel and source distribution -----------------------------------------------------------------


async def check_wheel(work: Path) -> None:
    """With pip, pipx and uv, from the locked wheels; a source distribution makes the same wheel."""
    wheel, sdist = own_wheel(), DIST / f"release_mirror-{__version__}.tar.gz"
    scripts = Path(sys.executable).parent
    await call(scripts / "twine", "check", "--strict", wheel, sdist)
    await call(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir",
               work / "sdist", sdist, env={"SOURCE_DATE_EPOCH": str(commit_time())})  # fmt: skip
    same = digest(work / "sdist" / wheel.name) == digest(wheel)
    require(same, "the wheel that pip makes of the source distribution differs from the one built")
    passed("wheel, sdist: twine check passes; pip makes the same wheel of the source distribution")
    offline = {
        "PIP_COMPILE": "0",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(WHEELS),
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(WHEELS),
    }
    venv, pip = work / "venv", (sys.executable, "-m", "pip", "--python", work / "venv")
    await call(sys.executable, "-m", "venv", "--without-pip", venv)
    await call(*pip, "install", "-q", f"{wheel}[fast,notify,postgres]", env=offline)
    await call(venv / "bin" / "python", "-c", "import uvloop, apprise, psycopg, psycopg_pool")
    await try_out("wheel with pip", venv / "bin", work)
    homes = {"PIPX_HOME": str(work / "pipx"), "PIPX_BIN_DIR": str(work / "pipx-bin")}
    await call(scripts / "pipx", "install", "--quiet", wheel, env=homes | offline)
    await call("unshare", "--net", work / "pipx-bin" / "release-mirror", "--version")
    passed("wheel with pipx: installed, runs")
    homes = {"UV_TOOL_DIR": str(work / "uv"), "UV_TOOL_BIN_DIR": str(work / "uv-bin")}
    homes |= {"UV_CACHE_DIR": str(work / "uv-cache")}
    await call(scripts / "uv", "tool", "install", "--quiet", "--python", sys.executable, wheel,
               env=homes | offline)  # fmt: skip
    await call("unshare", "--net", work / "uv-bin" / "release-mirror", "--version")
    passed("wheel with uv: installed, runs")


async def try_out(name: str, programs: Path, work: Path) -> None:
    """Run the demo and a first sync with loopback as the only network."""
    ledger = Path(tempfile.mkdtemp(dir=work))
    path = {"PATH": f"{programs}:{os.environ['PATH']}"}
    loopback = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    shown = await call(*loopback, "release-mirror", "demo", env=path)
    require("Everything matches." in shown, f"{name}: the demo does not say that all is well")
    await call(*loopback, FIRST_SYNC, ledger / "config.toml", ledger, env=path)
    passed(f"{name}: installed; the demo and a first sync run without network")


# ---- Debian root: package, offline kit -------------------------------------------------------------


def apt_sources() -> list[Path]:
    """The files with the machine's apt sources."""
    apt = Path("/etc/apt")
    main = [file for file in [apt / "sources.list"] if file.exists() and file.read_text()]
    return [*main, *apt.glob("sources.list.d/*.sources"), *apt.glob("sources.list.d/*.list")]


async def make_root(root: Path) -> None:
    """Make a Debian root of the machine's release, with the machine's apt sources."""
    sources = apt_sources()
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    await call("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory",
               "--dpkgopt=force-unsafe-io", "--skip=cleanup/apt/lists", "--skip=cleanup/apt/cache",
               release, root, *sources)  # fmt: skip
    (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    passed(f"Debian root made ({release})")


async def inside(root: Path, script: str, *, network: bool = False, status: int = 0) -> str:
    """Run a shell script in the root, in namespaces of its own: nothing stays mounted or running."""
    separate = () if network else ("--net",)
    enter = (
        f'ip link set lo up; mount -t proc proc "{root}/proc"; exec chroot "{root}" sh -euc "$0"'
    )
    enter = enter if not network else enter.removeprefix("ip link set lo up; ")
    return await call(
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", *separate),
        *("sh", "-ec", enter, script),
        status=status,
        env={
            "DEBIAN_FRONTEND": "noninteractive",
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
        },
    )


# These look for other languages and for typing errors in the wheels of others, for five seconds.
NOT_LINTED = "languages/javascript/embedded,languages/php/embedded,languages/php/pear/embedded,binaries/spelling"
AS_SERVICE = (
    "setpriv --reuid release-mirror --regid release-mirror --clear-groups env HOME=/nonexistent"
)


SYSTEMCTL = """#!/bin/sh
# As systemctl on a machine with one unit, the service; keeps the statuses it ended with in /run/ended.
for word; do
  case $word in
    is-active | is-enabled | start | stop | daemon-reload) verb=$word ;;
    release-mirror*) unit=$word ;;
  esac
done
[ "$verb" != daemon-reload ] || exit 0
[ "$unit" = release-mirror.service ] || exit 3
active() { [ -e "/proc/$(cat /run/daemon)/exe" ]; }
case $verb in
  is-enabled) echo enabled ;;
  is-active) active ;;
  stop)
    kill "$(cat /run/daemon)"
    while active; do sleep 0.1; done
    ;;
  start)
    rm -f /var/lib/release-mirror/control.sock
    (
      sh -c 'echo $$ >/run/daemon; cd /; exec SERVICE MIRROR_TARGET_TOKEN=x /usr/bin/release-mirror daemon' || status=$?
      echo ${status:-0} >>/run/ended
    ) >/run/daemon.log 2>&1 &
    until [ -e /var/lib/release-mirror/control.sock ]; do sleep 0.1; done
    ;;
esac
"""


async def check_deb(root: Path) -> None:
    """Installs, runs, verifies its units; an upgrade and a purge do what the guide says."""
    (package,) = DIST.glob("*.deb")
    await call("lintian", "--fail-on", "error", "--dont-check-part", NOT_LINTED, package)
    shutil.copy(package, root / "tmp" / "one.deb")
    shutil.copy(FIRST_SYNC, root / "usr" / "local" / "bin" / "first_sync")
    await inside(root, f"{APT} --no-install-recommends install /tmp/one.deb", network=True)
    await inside(root, "systemd-analyze verify release-mirror.service release-mirror-sync.timer")
    await inside(root, "test -s /usr/share/bash-completion/completions/release-mirror")
    shown = await inside(root, f"cd /; {AS_SERVICE} release-mirror demo")
    require("Everything matches." in shown, "deb: the demo does not say that all is well")
    edited = "/etc/release-mirror/config.toml"
    await inside(root, f"""
        chown release-mirror: /etc/release-mirror/config.toml
        install -d -m 0700 -o release-mirror /var/lib/release-mirror
        cd /; {AS_SERVICE} first_sync {edited} /var/lib/release-mirror""")  # fmt: skip
    passed("deb: lintian finds no error; installed with units; demo and first sync run")
    await check_bad_input(root)
    await check_kit(root)

    newer = root / "tmp" / "newer"
    await call("dpkg-deb", "--raw-extract", package, newer)
    control = newer / "DEBIAN" / "control"
    control.write_text(control.read_text().replace(f"Version: {__version__}", "Version: 99.0.0"))
    with (newer / "etc" / "release-mirror" / "config.toml").open("a") as file:
        file.write("# A newer version ships another file.\n")
    await call("dpkg-deb", "--root-owner-group", "-Znone", "--build", newer, root / "tmp/two.deb")
    shutil.rmtree(newer)
    keep = f"sha256sum {edited}"
    before = await inside(root, keep)
    systemctl = root / "tmp" / "systemctl"
    systemctl.write_text(SYSTEMCTL.replace("SERVICE", AS_SERVICE))
    systemctl.chmod(0o755)
    told = await inside(root, f"""
        mount --bind /tmp/systemctl /usr/bin/systemctl
        mkdir -p /run/systemd/system; systemctl start release-mirror.service
        {APT} install /tmp/two.deb 2>&1
        systemctl is-active release-mirror.service
        rm /usr/local/bin/release-mirror
        {APT} remove release-mirror
        ! systemctl is-active release-mirror.service
        rm -r /run/systemd/system; cat /run/ended; rm /run/ended /run/daemon""")  # fmt: skip
    precedes = "/usr/local/bin/release-mirror takes precedence"
    require(precedes in told, f"deb: says nothing of /opt:\n{told}")
    require(told.endswith("\n0\n0\n"), f"deb: does not stop the service twice and well:\n{told}")
    require(await inside(root, keep) == before, "deb: upgrade or removal changed the configuration")
    status = await inside(
        root,
        f"cd /; {AS_SERVICE} MIRROR_TARGET_TOKEN=x /opt/release-mirror/bin/release-mirror status || true",
    )
    require("2 assets, 5.0 MB" in status, f"deb: upgrade or removal harmed the ledger:\n{status}")
    passed(
        "deb: an upgrade under a running service restarts it, a removal stops it; both keep"
        " configuration and ledger"
    )

    systemctl.unlink()
    await inside(root, "rm -r /opt/release-mirror")
    await inside(root, f"{APT} purge release-mirror; rm -f /tmp/*.deb /usr/local/bin/first_sync")
    left = await inside(
        root, "find / -xdev -name '*release*mirror*'; getent passwd release-mirror || true"
    )
    require(not left, f"deb: a purge leaves:\n{left}")
    passed("deb: a purge leaves no file and no user")


async def check_bad_input(root: Path) -> None:
    """Without git, and with a home that cannot be written to, one sentence says so."""
    service = f"cd /; {AS_SERVICE} MIRROR_TARGET_TOKEN=x"
    config = "/etc/release-mirror/config.toml"
    for name, script, told in (
        (
            "git",
            f"{service} TAGS=push first_sync /tmp/push.toml /tmp/push",
            "install git, or set tags",
        ),
        ("home (init)", f"{service} release-mirror init", "cannot write /nonexistent"),
        (
            "home (sync)",
            f"sed '/^.ledger/,/^directory/d' {config} >/tmp/home.toml; {service} release-mirror -c /tmp/home.toml sync",
            "/nonexistent",
        ),
    ):
        said = await inside(root, script, status=1)
        lines = [line for line in said.splitlines() if told in line]
        require(
            len(lines) == 1 and "Traceback" not in said, f"deb: no {name}: tells it thus:\n{said}"
        )
        passed(f"deb without {name}: {lines[0].strip()}")


async def check_kit(root: Path) -> None:
    """Installs without network, beside the package; both read the same ledger."""
    await inside(root, f"{APT} --no-install-recommends install python3-venv", network=True)
    await call("tar", "-xzf", DIST / f"{KIT}.tar.gz", "-C", root / "tmp")
    await inside(
        root,
        f"/tmp/{KIT}/install /opt/release-mirror; ln -s /opt/release-mirror/bin/release-mirror /usr/local/bin/",
    )
    shutil.rmtree(root / "tmp" / KIT)
    shown = await inside(
        root,
        "/opt/release-mirror/bin/python -c 'import uvloop, apprise, psycopg_pool'; cd /; release-mirror demo",
    )
    require("Everything matches." in shown, "kit: the demo does not say that all is well")
    for program in ("/usr/local/bin/release-mirror", "/usr/bin/release-mirror"):
        status = await inside(root, f"cd /; {AS_SERVICE} MIRROR_TARGET_TOKEN=x {program} status")
        require("octo/tool" in status, f"{program} does not read the ledger:\n{status}")
    passed("kit: installed beside the package without network; the demo runs; both read the ledger")


# ---- image -----------------------------------------------------------------------------------------


async def storage(work: Path) -> dict[str, str]:
    """Where containers are stored, which is removed with the rest, and how their image is built.

    overlay copies nothing, but needs a file system below which is no overlay itself; vfs works on all.
    """
    for name in ("lower", "upper", "work", "merged"):
        (work / "overlay" / name).mkdir(parents=True)
    options = "lowerdir=lower,upperdir=upper,workdir=work"
    mount = f"cd {work}/overlay && mount -t overlay overlay -o {options} merged"
    try:
        await call("unshare", "--mount", "sh", "-c", mount)
        driver = "overlay"
    except CheckFailed:
        driver = "vfs"
    file = work / "storage.conf"
    file.write_text(
        f'[storage]\ndriver = "{driver}"\ngraphroot = "{work}/images"\nrunroot = "{work}/images-run"\n'
    )
    return {
        "CONTAINERS_STORAGE_CONF": str(file),
        "BASE": "localhost/release-mirror-test-base",
        "BUILDAH_ARGS": "--isolation=chroot --network=host",
    }


async def make_base(container: str, more: dict[str, str]) -> None:
    """Make the image's base from a container that holds a copy of the Debian root."""
    root = Path((await call("buildah", "mount", container, env=more)).strip())
    await inside(root, f"""{APT} --no-install-recommends install python3-venv git openssh-client ca-certificates
        apt-get clean; rm -rf /var/lib/apt/lists/* /etc/resolv.conf""", network=True)  # fmt: skip
    await call("buildah", "commit", "--quiet", "--rm", container, more["BASE"], env=more)


async def check_image(work: Path, more: dict[str, str]) -> None:
    """Runs with a read-only root and without network; its health check answers; it stops cleanly."""
    state = "/var/lib/release-mirror"
    (work / "state").mkdir()
    os.chown(work / "state", 10001, 10001)
    mounts = (f"--volume={FIRST_SYNC}:/first_sync:ro", f"--volume={work}/state:{state}")
    tried = (
        f"release-mirror demo && sh /first_sync {state}/config.toml {state} && ! touch /x 2>&1"
        " && for name in cc gcc make pip pip3; do ! command -v $name || exit 1; done && id -u"
    )
    said = await call(
        *PODMAN, "run", "--rm", *LIMITS, *mounts, "--entrypoint=sh", IMAGE, "-c", tried, env=more
    )
    require("Everything matches." in said, "image: the demo does not say that all is well")
    require("10001" in said.splitlines(), "image: does not run as user 10001")
    passed(
        "image: user 10001, no compiler, read-only root; demo and first sync run without network"
    )
    name = f"release-mirror-test-{os.getpid()}"
    await call(*PODMAN, "run", "--detach", "--name", name, *LIMITS, *mounts, "--env=MIRROR_TARGET_TOKEN=x",
               IMAGE, "daemon", "--config", f"{state}/config.toml", env=more)  # fmt: skip
    for wait in range(60):
        await asyncio.sleep(0.5)
        try:
            await call(*PODMAN, "healthcheck", "run", name, env=more)
            break
        except CheckFailed:
            if wait == 59:
                raise
    await call(*PODMAN, "stop", "--time=30", name, env=more)
    ended = await call(*PODMAN, "inspect", "--format={{.State.ExitCode}}", name, env=more)
    await call(*PODMAN, "rm", "--force", name, env=more)
    require(ended.strip().splitlines()[-1] == "0", f"image: the daemon ended with status {ended}")
    passed("image: the daemon's health check passes; it stops with status 0")


# ---- second build ----------------------------------------------------------------------------------


async def build_again(other: Path, *wanted: str, more: dict[str, str] | None = None) -> None:
    """Build packages from another directory, in another time zone and with another umask."""
    if "wheel" in wanted:
        list_files = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
        for name in run(*list_files).splitlines():
            (other / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / name, other / name)
        (other / ".git").write_text(f"gitdir: {run('git', 'rev-parse', '--absolute-git-dir')}")
        shutil.copytree(WHEELS, other / WHEELS.relative_to(TOP))
    environment = {
        "TZ": "Pacific/Kiritimati",
        "PYTHONPATH": str(other),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    await call("sh", "-c", 'umask 027 && exec "$@"', "sh", sys.executable,
               other / "packaging" / "build.py", *wanted, env=environment | (more or {}))  # fmt: skip


def compare(other: Path) -> None:
    """Two builds are equal, bills of materials included."""
    names = [file.name for file in (other / "dist").iterdir() if file.name != "SHA256SUMS"]
    for name in sorted(names):
        require(
            digest(DIST / name) == digest(other / "dist" / name),
            f"a second build of {name} differs",
        )
        if not name.endswith(".json"):
            passed(f"equal in two builds, like its bill of materials: {name}")


async def main(work: Path) -> None:
    """Build and check everything; what can run beside each other does."""
    root, other = work / "root", work / "other"
    if available_memory() >= 2 * MEMORY:
        await call("mount", "-t", "tmpfs", "-o", f"mode=0755,size={MEMORY}", "tmpfs", work)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(make_root(root))
        tasks.create_task(build(TOP, "wheel", "kit", "deb"))
    passed("wheel, source distribution, kit and Debian package built")
    more = await storage(work)
    container = (await call("buildah", "from", "scratch", env=more)).strip()
    mounted = (await call("buildah", "mount", container, env=more)).strip()
    await call("cp", "-a", f"{root}/.", mounted)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(check_deb(root))
        again = tasks.create_task(check_wheel_and_build_again(work, other))
        await make_base(container, more)
        await build(TOP, "image", more=more)
        passed("image built on a base made from the Debian root")
        await check_image(work, more)
        await again
        await build_again(other, "image", more=more)
    compare(other)


async def check_wheel_and_build_again(work: Path, other: Path) -> None:
    """The wheel, and the second build of all but the image."""
    await check_wheel(work)
    await build_again(other, "wheel", "kit", "deb")


def available_memory() -> int:
    """Bytes of memory that are available, as Linux estimates it."""
    found = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    return int(found[1]) * 1024 if found else 0


def prepare() -> None:
    """End with one sentence where something that is needed is missing."""
    if os.geteuid() != 0:
        sys.exit("dist-test: needs root, to make a Debian root, namespaces and an image")
    if missing := [package for name, package in PROGRAMS.items() if not shutil.which(name)]:
        sys.exit(f"dist-test: programs are missing; install {', '.join(missing)}")


def start() -> int:
    """Run the test in namespaces of its own, and remove its files at the end."""
    prepare()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="release-mirror-dist-") as work:
        separate = ("unshare", "--mount", "--mount-proc", "--pid", "--fork", "--kill-child")
        done = subprocess.run([*separate, sys.executable, __file__, work], check=False)  # noqa: S603 - our own words alone
        return done.returncode


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(start())
    try:
        asyncio.run(main(Path(sys.argv[1])))
    except* CheckFailed as failed:
        for problem in failed.exceptions:
            print(f"dist-test: {problem}", file=sys.stderr)
        sys.exit(1)
    passed("done")
