"""What the demo's source holds: made up, the same each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator import AssetSpec, Generated, GitHubState

if TYPE_CHECKING:
    from mirror.emulator.model.state import Bytes

MEGABYTE = 1_000_000

_NOTES = """\
## What is new

* Faster lift-off, thanks to @wernher
* Landing legs unfold **before** touchdown (#42)
"""


def fill(state: GitHubState) -> None:
    """Four repositories: two owners, prereleases, a latest that is not the newest, odd names."""
    _rocket(state)
    _satellite(state)
    _fonts(state)
    state.add_repository("octo/hello", description="A very small one")
    state.add_release(
        "octo/hello", "v1.0.0", name="Hello", date=_day(1), assets={"hello.sh": "echo hello\n"}
    )
    # What the configuration leaves out.
    state.add_repository("acme/attic-archive", archived=True)
    state.add_release("acme/attic-archive", "v0.1", date=_day(1), assets={"old.zip": "dust"})


def _day(number: int) -> str:
    return f"2026-{1 + number // 28:02}-{1 + number % 28:02}T12:00:00Z"


def _file(seed: int, size: float, label: str | None = None) -> AssetSpec:
    return AssetSpec(Generated(seed=seed, size=int(size)), "application/gzip", label=label)


def _rocket(state: GitHubState) -> None:
    state.add_repository("acme/rocket", description="Goes up")
    for minor, latest in ((0, False), (1, True)):
        tag = f"v1.{minor}.0"
        files: dict[str, Bytes | AssetSpec] = {
            f"rocket_1.{minor}.0_linux_amd64.tar.gz": _file(minor, (12 + 8 * minor) * MEGABYTE),
            f"rocket_1.{minor}.0_linux_arm64.tar.gz": _file(10 + minor, (11 + minor) * MEGABYTE),
            f"rocket_1.{minor}.0_windows_amd64.zip": _file(20 + minor, 9 * MEGABYTE),
            "checksums.txt": f"made up, for {tag}\n",
        }
        state.add_release(
            "acme/rocket",
            tag,
            name=f"Rocket 1.{minor}",
            body=_NOTES,
            date=_day(10 * minor),
            latest=latest,
            assets=files,
        )
    state.add_release(
        "acme/rocket",
        "v2.0.0-rc.1",
        name="Rocket 2.0, first candidate",
        body="Do not fly this one.",
        date=_day(30),
        prerelease=True,
        assets={"rocket_2.0.0-rc.1_linux_amd64.tar.gz": _file(30, 40 * MEGABYTE)},
    )
    # A fix for those who stay on 1.0 is newer than the latest release.
    state.add_release(
        "acme/rocket",
        "v1.0.1",
        name="Rocket 1.0.1",
        date=_day(35),
        latest=False,
        assets={"rocket_1.0.1_linux_amd64.tar.gz": _file(31, 12 * MEGABYTE)},
    )


def _satellite(state: GitHubState) -> None:
    state.add_repository("acme/satellite", description="Stays up")
    for number in range(5):
        state.add_release(
            "acme/satellite",
            f"satellite/v0.{number}.0",
            name=f"Orbit {number}",
            date=_day(3 * number),
            annotated=number % 2 == 0,
            assets={
                "satellite.jar": _file(40 + number, (2 + number) * MEGABYTE, "The program"),
                "satellite.jar.asc": f"-----NOT A SIGNATURE {number}-----\n",
            },
        )


def publish_satellite(state: GitHubState, number: int) -> tuple[str, str]:
    """Publish one more release, now; its repository and tag."""
    name, tag = "acme/satellite", f"satellite/v1.{number}.0"
    files: dict[str, Bytes | AssetSpec] = {
        "satellite.jar": _file(100 + number, 3 * MEGABYTE, "The program")
    }
    state.add_release(name, tag, name=f"Orbit 1.{number}", assets=files)
    return name, tag


def _fonts(state: GitHubState) -> None:
    state.add_repository("acme/fonts", description="Odd names")
    state.add_release(
        "acme/fonts",
        "2026.01+build.7",
        name="Ünïcode & <markup> [bold]fonts[/bold] 🚀",
        body="Text with `code`, @mentions, ünïcode and\r\nold line ends.",
        date=_day(20),
        assets={
            "a": "x",
            "Font.Sans-Bold+Italic_v2.tar.zst": _file(60, 3 * MEGABYTE),
            "[link=x]not.markup[/]".translate(str.maketrans("[]=/", "----")): "plain",
            "release..notes.md": AssetSpec("# Notes\n", "text/markdown", label="Größe und Maß"),
        },
    )
