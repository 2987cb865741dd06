"""The recipes in config/recipes: each loads, has a page, and mirrors exactly what the page promises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mirror.config import load_config
from support.world import World

if TYPE_CHECKING:
    from mirror.emulator import GitHubState

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "config" / "recipes").glob("*.toml"))

Content = dict[str, dict[str, str]]
"""Assets, separated by spaces, by repository and tag; tags from the oldest to the newest."""

# Tags and names as the repositories have them; the source also offers what no recipe selects.
SOURCE: dict[str, Content] = {
    "codeql": {
        "github/codeql-action": {
            "codeql-bundle-20230105": "codeql-bundle-linux64.tar.gz",
            "codeql-bundle-v2.17.0": "codeql-bundle-linux64.tar.gz codeql-bundle-win64.tar.gz"
            " codeql-bundle.tar.gz cli-version-2.17.0.txt",
            "codeql-bundle-v2.19.3": "codeql-bundle-linux64.tar.gz codeql-bundle-linux64.tar.zst"
            " codeql-bundle-linux64.tar.gz.checksum.txt cli-version-2.19.3.txt",
            "v3.27.5": "",
        }
    },
    "runner-tool-caches": {
        "actions/python-versions": {
            "3.11.9-8525206794": "python-3.11.9-linux-24.04-x64.tar.gz",
            "3.12.7-11128208086": "python-3.12.7-linux-24.04-x64.tar.gz"
            " python-3.12.7-linux-22.04-x64.tar.gz python-3.12.7-win32-x64.zip",
        },
        "actions/node-versions": {
            "18.20.4-9863103234": "node-18.20.4-linux-x64.tar.gz",
            "20.18.0-11177611155": "node-20.18.0-linux-x64.tar.gz node-20.18.0-linux-arm64.tar.gz",
        },
        "actions/go-versions": {
            "1.23.2-11134284140": "go-1.23.2-linux-x64.tar.gz go-1.23.2-darwin-arm64.tar.gz"
        },
    },
    "actions-runner": {
        "actions/runner": {
            "v2.299.1": "actions-runner-linux-x64-2.299.1.tar.gz",
            "v2.320.0": "actions-runner-linux-x64-2.320.0.tar.gz actions-runner-win-x64-2.320.0.zip"
            " actions-runner-osx-arm64-2.320.0.tar.gz",
        }
    },
    "github-cli": {
        "cli/cli": {
            "v2.60.0": "gh_2.60.0_linux_amd64.tar.gz gh_2.60.0_linux_amd64.deb"
            " gh_2.60.0_macOS_arm64.zip gh_2.60.0_windows_amd64.msi gh_2.60.0_checksums.txt"
        },
        "dlvhdr/gh-dash": {
            "v4.7.0": "gh-dash_v4.7.0_linux-amd64 gh-dash_v4.7.0_linux-arm64"
            " gh-dash_v4.7.0_windows-amd64.exe"
        },
    },
    "owner": {
        "fluxcd/flux2": {
            "v2.4.0": "flux_2.4.0_linux_amd64.tar.gz flux_2.4.0_darwin_arm64.tar.gz"
            " flux_2.4.0_checksums.txt"
        },
        "fluxcd/old-archive": {"v0.1.0": "old_linux_amd64.tar.gz"},
        "integrations/terraform-provider-github": {
            "v6.3.1": "terraform-provider-github_6.3.1_linux_amd64.zip"
            " terraform-provider-github_6.3.1_windows_amd64.zip"
            " terraform-provider-github_6.3.1_SHA256SUMS"
            " terraform-provider-github_6.3.1_SHA256SUMS.sig"
        },
        "integrations/slack": {"v1.0.0": "slack_linux_amd64.tar.gz"},
    },
    "kubernetes-clis": {
        "kubernetes-sigs/kustomize": {
            "api/v0.18.0": "",
            "kustomize/v5.5.0": "kustomize_v5.5.0_linux_amd64.tar.gz"
            " kustomize_v5.5.0_darwin_arm64.tar.gz checksums.txt",
        },
        "kubernetes-sigs/kind": {
            "v0.24.0": "kind-linux-amd64 kind-linux-amd64.sha256sum kind-darwin-arm64"
        },
        "derailed/k9s": {
            "v0.32.5": "k9s_Linux_amd64.tar.gz k9s_Darwin_arm64.tar.gz checksums.sha256"
        },
        "stern/stern": {"v1.31.0": "stern_1.31.0_linux_amd64.tar.gz checksums.txt"},
    },
    "security-scanners": {
        "aquasecurity/trivy": {
            "v0.57.0": "trivy_0.57.0_Linux-64bit.tar.gz trivy_0.57.0_Linux-64bit.tar.gz.sig"
            " trivy_0.57.0_Linux-ARM64.tar.gz trivy_0.57.0_checksums.txt"
        },
        "anchore/grype": {
            "v0.84.0": "grype_0.84.0_linux_amd64.tar.gz grype_0.84.0_linux_amd64.deb"
            " grype_0.84.0_checksums.txt grype_0.84.0_checksums.txt.sig"
        },
        "gitleaks/gitleaks": {
            "v8.21.2": "gitleaks_8.21.2_linux_x64.tar.gz gitleaks_8.21.2_checksums.txt"
            " gitleaks_8.21.2_darwin_x64.tar.gz"
        },
    },
    "tool-managers": {
        "astral-sh/uv": {
            "0.5.2": "uv-x86_64-unknown-linux-gnu.tar.gz uv-x86_64-unknown-linux-gnu.tar.gz.sha256"
            " uv-aarch64-apple-darwin.tar.gz uv-installer.sh"
        },
        "astral-sh/python-build-standalone": {
            "20241016": "cpython-3.13.0+20241016-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz"
            " cpython-3.13.0+20241016-x86_64-unknown-linux-gnu-debug-full.tar.zst"
        },
        "astral-sh/ruff": {
            "0.7.4": "ruff-x86_64-unknown-linux-gnu.tar.gz ruff-x86_64-pc-windows-msvc.zip"
        },
        "jdx/mise": {
            "v2024.11.8": "mise-v2024.11.8-linux-x64.tar.gz mise-v2024.11.8-macos-arm64.tar.gz"
            " SHASUMS256.txt"
        },
        "aquaproj/aqua": {
            "v2.37.2": "aqua_linux_amd64.tar.gz aqua_darwin_arm64.tar.gz aqua_2.37.2_checksums.txt"
        },
    },
    "latest-five": {
        "cli/cli": {
            f"v2.{minor}.0": f"gh_2.{minor}.0_linux_amd64.tar.gz gh_2.{minor}.0_macOS_arm64.zip"
            for minor in range(55, 61)
        }
    },
    "cool-down": {
        "sigstore/cosign": {"v2.4.1": "cosign-linux-amd64 cosign-linux-arm64 cosign_checksums.txt"}
    },
}

ARRIVES: dict[str, Content] = {
    "codeql": {
        "github/codeql-action": {
            "codeql-bundle-v2.17.0": "codeql-bundle-linux64.tar.gz cli-version-2.17.0.txt",
            "codeql-bundle-v2.19.3": "codeql-bundle-linux64.tar.gz codeql-bundle-linux64.tar.zst"
            " cli-version-2.19.3.txt",
        }
    },
    "runner-tool-caches": {
        "actions/python-versions": {"3.12.7-11128208086": "python-3.12.7-linux-24.04-x64.tar.gz"},
        "actions/node-versions": {"20.18.0-11177611155": "node-20.18.0-linux-x64.tar.gz"},
        "actions/go-versions": {"1.23.2-11134284140": "go-1.23.2-linux-x64.tar.gz"},
    },
    "actions-runner": {
        "mirrors/actions-runner": {
            "v2.320.0": "actions-runner-linux-x64-2.320.0.tar.gz actions-runner-win-x64-2.320.0.zip"
        }
    },
    "github-cli": {
        "mirrors/cli": {
            "v2.60.0": "gh_2.60.0_linux_amd64.tar.gz gh_2.60.0_linux_amd64.deb"
            " gh_2.60.0_windows_amd64.msi gh_2.60.0_checksums.txt"
        },
        "mirrors/gh-dash": {
            "v4.7.0": "gh-dash_v4.7.0_linux-amd64 gh-dash_v4.7.0_windows-amd64.exe"
        },
    },
    "owner": {
        "mirrors/fluxcd-flux2": {
            "v2.4.0": "flux_2.4.0_linux_amd64.tar.gz flux_2.4.0_checksums.txt"
        },
        "mirrors/terraform-provider-github": {
            "v6.3.1": "terraform-provider-github_6.3.1_linux_amd64.zip"
            " terraform-provider-github_6.3.1_SHA256SUMS"
            " terraform-provider-github_6.3.1_SHA256SUMS.sig"
        },
    },
    "kubernetes-clis": {
        "mirrors/kustomize": {
            "kustomize/v5.5.0": "kustomize_v5.5.0_linux_amd64.tar.gz checksums.txt"
        },
        "mirrors/kind": {"v0.24.0": "kind-linux-amd64 kind-linux-amd64.sha256sum"},
        "mirrors/k9s": {"v0.32.5": "k9s_Linux_amd64.tar.gz checksums.sha256"},
        "mirrors/stern": {"v1.31.0": "stern_1.31.0_linux_amd64.tar.gz checksums.txt"},
    },
    "security-scanners": {
        "mirrors/trivy": {
            "v0.57.0": "trivy_0.57.0_Linux-64bit.tar.gz trivy_0.57.0_Linux-64bit.tar.gz.sig"
            " trivy_0.57.0_checksums.txt"
        },
        "mirrors/grype": {
            "v0.84.0": "grype_0.84.0_linux_amd64.tar.gz grype_0.84.0_checksums.txt"
            " grype_0.84.0_checksums.txt.sig"
        },
        "mirrors/gitleaks": {
            "v8.21.2": "gitleaks_8.21.2_linux_x64.tar.gz gitleaks_8.21.2_checksums.txt"
        },
    },
    "tool-managers": {
        "astral-sh/uv": {
            "0.5.2": "uv-x86_64-unknown-linux-gnu.tar.gz uv-x86_64-unknown-linux-gnu.tar.gz.sha256"
            " uv-installer.sh"
        },
        "astral-sh/python-build-standalone": {
            "20241016": "cpython-3.13.0+20241016-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz"
        },
        "astral-sh/ruff": {"0.7.4": "ruff-x86_64-unknown-linux-gnu.tar.gz"},
        "jdx/mise": {"v2024.11.8": "mise-v2024.11.8-linux-x64.tar.gz SHASUMS256.txt"},
        "aquaproj/aqua": {"v2.37.2": "aqua_linux_amd64.tar.gz aqua_2.37.2_checksums.txt"},
    },
    "latest-five": {
        "mirrors/cli": {
            f"v2.{minor}.0": f"gh_2.{minor}.0_linux_amd64.tar.gz" for minor in range(56, 61)
        }
    },
    "cool-down": {"mirrors/cosign": {"v2.4.1": "cosign-linux-amd64 cosign_checksums.txt"}},
}


def fill(state: GitHubState, content: Content) -> None:
    """Publish all of it, a release a day."""
    for repository, releases in content.items():
        state.add_repository(repository)
        for day, (tag, names) in enumerate(releases.items(), 1):
            assets = {name: f"{name} of {tag}" for name in names.split()}
            date = f"2026-11-{day:02}T12:00:00Z"
            state.add_release(repository, tag, assets=assets, date=date)


def named(content: Content) -> dict[str, dict[str, set[str]]]:
    """The same with the names as sets."""
    return {
        repository: {tag: set(names.split()) for tag, names in releases.items()}
        for repository, releases in content.items()
    }


def found(state: GitHubState) -> dict[str, dict[str, set[str]]]:
    """Every published release of a host, with the names of its assets."""
    return {
        name: {
            release.tag: {asset.name for asset in release.assets}
            for release in state.releases(name)
            if not release.draft
        }
        for name in state.names
    }


def mirrors_of(recipe: Path) -> str:
    """What a recipe says besides its hosts."""
    text = recipe.read_text("utf-8")
    first = re.search(r"^\[(defaults|\[mirrors\])\]$", text, re.MULTILINE)
    assert first
    return text[first.start() :]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda file: file.stem)
async def test_a_recipe_mirrors_exactly_what_it_promises(recipe: Path, tmp_path: Path) -> None:
    """One pass brings the releases and assets of the table, and no others."""
    name = recipe.stem
    async with World(tmp_path, mirrors_of(recipe)) as world:
        fill(world.source, SOURCE[name])
        for repository in ARRIVES[name]:
            world.target.add_organization(repository.split("/")[0])
        world.clock.advance(8 * 86400)  # nothing is too young any more
        report = await world.sync()
        assert [f.line for r in report.repositories for f in r.failures] == []
        assert report.status == "ok"
        assert found(world.target) == named(ARRIVES[name])


async def test_the_cool_down_waits_for_a_young_release(tmp_path: Path) -> None:
    """A release of today is no failure; it arrives when it and its newest asset are a week old."""
    recipe = ROOT / "config" / "recipes" / "cool-down.toml"
    async with World(tmp_path, mirrors_of(recipe)) as world:
        world.source.add_repository("sigstore/cosign")
        world.source.add_release(
            "sigstore/cosign",
            "v2.4.2",
            assets={"cosign-linux-amd64": "x"},
            date="2026-11-21T08:00:00Z",
        )
        first = await world.sync()
        assert not any(repository.failures for repository in first.repositories)
        assert not world.target.names
        world.clock.advance(7 * 86400)
        await world.sync()
        assert list(world.published("mirrors/cosign")) == ["v2.4.2"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_loads_and_has_a_page(recipe: Path) -> None:
    """The file is valid as it is, and its page contains all of its mirrors, word for word."""
    assert load_config(recipe, {"HOME": "/home/me"}).mirrors
    page = (ROOT / "docs" / "recipes" / f"{recipe.stem}.md").read_text("utf-8")
    assert f"```toml\n{mirrors_of(recipe).strip()}\n```" in page


def test_every_recipe_is_tested() -> None:
    """The tables above have every recipe, and no other."""
    names = {recipe.stem for recipe in RECIPES}
    assert names == set(SOURCE) == set(ARRIVES)
    assert names == {page.stem for page in (ROOT / "docs" / "recipes").glob("*.md")} - {"index"}
