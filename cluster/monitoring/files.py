"""A folder from which Prometheus and Grafana start: ``metaray cluster monitoring``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from metaray.cluster.errors import ClusterError
from metaray.cluster.monitoring.alerts import rules
from metaray.cluster.monitoring.grafana import REFRESH_S, dashboard, datasources, providers
from metaray.cluster.monitoring.panels import BOARDS

DISCOVERY = "prom_metrics_service_discovery.json"
"""written by the head of a Ray cluster into its temporary folder: the targets of all nodes"""
PROMETHEUS_URL = "http://127.0.0.1:9090"


def write_monitoring(folder: Path, discovery: Path) -> list[Path]:
    """Write all files, in place of those that an earlier call wrote; their paths.

    Args:
        folder: made if need be.
        discovery: the ``prom_metrics_service_discovery.json`` of the cluster; it need not be there
            yet.

    Raises:
        ClusterError: the folder cannot be written.
    """
    folder = folder.absolute()
    dashboards = folder / "grafana" / "dashboards"
    provisioning = folder / "grafana" / "provisioning"
    texts = {
        folder / "prometheus.yml": _yaml(prometheus(discovery.absolute())),
        folder / "rules.yml": _yaml(rules()),
        provisioning / "datasources" / "metaray.yml": _yaml(datasources(PROMETHEUS_URL)),
        provisioning / "dashboards" / "metaray.yml": _yaml(providers(str(dashboards))),
        **{
            dashboards / f"{board.kind}.json": json.dumps(dashboard(board), indent=2) + "\n"
            for board in BOARDS
        },
    }
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ClusterError(
            f"cannot write to {folder} ({error.strerror}): choose another folder"
        ) from error
    return list(texts)


def prometheus(discovery: Path) -> dict[str, Any]:
    """The settings of Prometheus as a tree. Ray's endpoints ask for no token."""
    return {
        "global": {"scrape_interval": f"{REFRESH_S}s", "evaluation_interval": f"{REFRESH_S}s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "ray", "file_sd_configs": [{"files": [str(discovery)]}]}],
    }


def _yaml(tree: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(tree, sort_keys=False, width=100)
    return text
