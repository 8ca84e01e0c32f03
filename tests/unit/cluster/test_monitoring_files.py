"""Files for Prometheus and Grafana: valid, and of metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from metaray.cluster.errors import ClusterError
from metaray.cluster.monitoring.alerts import rules
from metaray.cluster.monitoring.catalog import METRICS
from metaray.cluster.monitoring.files import DISCOVERY, write_monitoring
from metaray.cluster.monitoring.panels import BOARDS

DOCS = Path(__file__).parents[3] / "docs" / "monitoring.md"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool on the PATH"
)


def promtool(*words: object) -> str:
    done = subprocess.run(
        ["promtool", *map(str, words)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder" / "monitoring"
    write_monitoring(folder, tmp_path / DISCOVERY)
    return folder


@needs_promtool
def test_prometheus_takes_settings_and_rules(files: Path) -> None:
    assert "SUCCESS" in promtool("check", "config", files / "prometheus.yml")


def _alert(name: str, summary: str, severity: str, run: str = "night") -> dict[str, object]:
    labels = {"kind": "train", "run": run, "severity": severity}
    rule = next(rule for rule in rules()["groups"][0]["rules"] if rule["alert"] == name)
    return {
        "exp_labels": labels,
        "exp_annotations": {
            "summary": summary,
            "description": rule["annotations"]["description"],
        },
    }


@needs_promtool
def test_alerts_fire_when_they_should_and_not_else(files: Path) -> None:
    """Night stalls, loses a worker and fails; day does well. Samples are a minute apart."""
    night, day = '{kind="train",run="night"}', '{kind="train",run="day"}'
    series = {
        f"ray_metaray_last_step_timestamp_seconds{night}": "0x40",
        f"ray_metaray_last_step_timestamp_seconds{day}": "0+60x40",
        f"ray_metaray_training{night}": "1x40",
        f"ray_metaray_training{day}": "1x40",
        f"ray_metaray_workers_lost_total{night}": "_x9 1x30",
        f"ray_metaray_workers_lost_total{day}": "0x40",
        'ray_metaray_failures_total{kind="train",run="night",reason="non_finite"}': "_x30 1x10",
        f"ray_metaray_gpu_memory_share{day}": "0.9x40",
    }
    cases = [
        ("10m", "MetarayRunStalled", []),
        (
            "20m",
            "MetarayRunStalled",
            [_alert("MetarayRunStalled", "night has finished no step for 20m 0s", "warning")],
        ),
        ("8m", "MetarayWorkersLost", []),
        (
            "12m",
            "MetarayWorkersLost",
            [_alert("MetarayWorkersLost", "night lost workers: 1 in the last 15m", "info")],
        ),
        ("40m", "MetarayWorkersLost", []),
        (
            "35m",
            "MetarayNonFinite",
            [
                _alert(
                    "MetarayNonFinite",
                    "night ended: a loss or gradient was infinite or NaN, and was refused",
                    "critical",
                )
            ],
        ),
        ("35m", "MetarayRunFailed", []),
        ("35m", "MetarayGpuMemoryNearlyFull", []),
    ]
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": k, "values": v} for k, v in series.items()],
                "alert_rule_test": [
                    {"eval_time": at, "alertname": name, "exp_alerts": expected}
                    for at, name, expected in cases
                ],
            }
        ],
    }
    (files / "test.yml").write_text(yaml.safe_dump(test))
    assert "SUCCESS" in promtool("test", "rules", files / "test.yml")


def test_dashboards_and_rules_name_only_what_is_exported(files: Path) -> None:
    exported = {metric.exported for metric in METRICS}
    named = set()
    for board in BOARDS:
        tree = json.loads((files / "grafana" / "dashboards" / f"{board.kind}.json").read_text())
        assert len({panel["id"] for panel in tree["panels"]}) == len(board.panels)
        named |= set(re.findall(r"ray_metaray_\w+", json.dumps(tree)))
    named |= set(re.findall(r"ray_metaray_\w+", (files / "rules.yml").read_text()))
    assert named <= exported
    seldom = {"ray_metaray_mse", "ray_metaray_gpu_memory_bytes", "ray_metaray_sweep_planned_trials"}
    rates = {"ray_metaray_tasks_per_second", "ray_metaray_images_per_second"}
    rest = {"ray_metaray_step_seconds_total", "ray_metaray_tasks_total"}
    assert exported - named <= seldom | rates | rest


def test_the_documentation_lists_every_metric() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for metric in METRICS:
        label = f"`{metric.label}`" if metric.label else ""
        row = f"| `{metric.exported}` | {metric.type} | {metric.unit} | {label} | {metric.help} |"
        assert row in text, row


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match="choose another folder"):
        write_monitoring(tmp_path / "file" / "x", tmp_path / DISCOVERY)
