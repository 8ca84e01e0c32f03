"""Grafana's files: dashboards as JSON, and the provisioning that loads them."""

from __future__ import annotations

from typing import Any

from metaray.cluster.monitoring import catalog
from metaray.cluster.monitoring.panels import Board, Panel

Tree = dict[str, Any]
_SCHEMA = 39  # of dashboards, as of Grafana 10; later ones migrate it
_WIDTH, _HEIGHT, _PER_ROW = 8, 8, 3
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
REFRESH_S = 10
"""Ray collects metrics as often"""


def dashboard(board: Board) -> Tree:
    """The JSON model of ``board``."""
    return {
        "uid": f"metaray-{board.kind}",
        "title": board.title,
        "tags": ["metaray"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "refresh": f"{REFRESH_S}s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_datasource(), _runs(board)]},
        "panels": [_panel(number, panel) for number, panel in enumerate(board.panels)],
    }


def _datasource() -> Tree:
    return {
        "name": "datasource",
        "type": "datasource",
        "label": "Prometheus",
        "query": "prometheus",
        "current": {},
    }


def _runs(board: Board) -> Tree:
    """The choice of runs: those that there were in the time that is shown."""
    known = catalog.TRIALS if board.kind == "sweep" else catalog.STEP
    return {
        "name": "run",
        "type": "query",
        "label": "Run",
        "datasource": _SOURCE,
        "query": {"query": f'label_values({known.exported}{{kind="{board.kind}"}}, run)'},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _panel(number: int, panel: Panel) -> Tree:
    row, column = divmod(number, _PER_ROW)
    is_share = panel.shape == "share"
    limits = {"min": 0, "max": 1} if is_share else {}
    return {
        "id": number + 1,
        "type": "bargauge" if is_share else "timeseries",
        "title": panel.title,
        "description": panel.note,
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, **limits}, "overrides": []},
        "options": _bars() if is_share else _curves(),
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query,
                "legendFormat": legend,
                "instant": is_share,
                "range": not is_share,
            }
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


def _bars() -> Tree:
    return {
        "orientation": "horizontal",
        "displayMode": "basic",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }


def _curves() -> Tree:
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def datasources(prometheus_url: str) -> Tree:
    """Provisioning: where Prometheus is."""
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "metaray",
                "type": "prometheus",
                "access": "proxy",
                "url": prometheus_url,
                "jsonData": {"timeInterval": f"{REFRESH_S}s"},
            }
        ],
    }


def providers(folder: str) -> Tree:
    """Provisioning: the folder of dashboards."""
    return {
        "apiVersion": 1,
        "providers": [
            {"name": "metaray", "type": "file", "folder": "metaray", "options": {"path": folder}}
        ],
    }
