"""The Kubernetes manifests: valid by Kubernetes' own schemas, and with a configuration that loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from mirror.config import load_config

MANIFESTS = Path(__file__).parents[2] / "packaging" / "kubernetes"


def objects() -> list[dict[str, Any]]:
    return [
        item for file in MANIFESTS.glob("*.yaml") for item in yaml.safe_load_all(file.read_text())
    ]


@pytest.mark.parametrize(
    "item", [i for i in objects() if i["kind"] != "ServiceMonitor"], ids=lambda i: i["kind"]
)
def test_valid(item: dict[str, Any]) -> None:
    """Each object is valid, unknown fields included. ServiceMonitor is no kind of Kubernetes' own."""
    kubernetes_validate.validate(item, "1.30", strict=True)


def test_the_configuration_loads(tmp_path: Path) -> None:
    """The daemon accepts the ConfigMap's file."""
    (found,) = (item for item in objects() if item["kind"] == "ConfigMap")
    file = tmp_path / "config.toml"
    file.write_text(found["data"]["config.toml"])
    config = load_config(file, {"STATE_DIRECTORY": str(tmp_path)})
    assert config.daemon.listen
    assert config.daemon.listen.port == 8321


def test_the_names_fit() -> None:
    """Every volume, claim, secret port and selector of the deployment names something that exists."""
    kinds = {item["kind"]: item for item in objects()}
    pod = kinds["Deployment"]["spec"]["template"]
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    (container,) = pod["spec"]["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    labels = pod["metadata"]["labels"].items()
    for kind, key in (
        ("Service", "selector"),
        ("ServiceMonitor", "selector"),
        ("NetworkPolicy", "podSelector"),
    ):
        selector = kinds[kind]["spec"][key]
        assert selector.get("matchLabels", selector).items() <= labels
    assert (
        kinds["ServiceMonitor"]["spec"]["endpoints"][0]["port"]
        == kinds["Service"]["spec"]["ports"][0]["name"]
    )
