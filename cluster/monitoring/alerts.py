"""Alert rules: few, and each with something to do about it."""

from __future__ import annotations

from typing import Any

from metaray.cluster.monitoring import catalog

STALLED_S = 900
GPU_FULL = 0.95
_RUN = "kind, run, trial"
_RECENT = "15m"


def rules() -> dict[str, Any]:
    """The file of rules as a tree."""
    return {"groups": [{"name": "metaray", "rules": [_rule(*parts) for parts in _ALERTS]}]}


def _newly(metric: str) -> str:
    """Counted in the last while; ``increase`` would miss the first count of a series."""
    now = f"sum by ({_RUN}) ({metric})"
    before = f"sum by ({_RUN}) ({metric} offset {_RECENT})"
    return f"((({now}) unless ({before})) > 0) or ({now} - {before} > 0)"


_NON_FINITE = f'{catalog.FAILURES.exported}{{reason="non_finite"}}'
_FAILED = f'{catalog.FAILURES.exported}{{reason!="non_finite"}}'
_FAILED_TRIALS = f'max by (run) ({catalog.TRIALS.exported}{{state="failed"}})'
_NAME = "{{ $labels.run }}{{ with $labels.trial }} trial {{ . }}{{ end }}"

_ALERTS = (
    (
        "MetarayRunStalled",
        f"time() - max by ({_RUN}) ({catalog.LAST_STEP.exported}) > {STALLED_S} "
        f"and on ({_RUN}) max by ({_RUN}) ({catalog.TRAINING.exported}) == 1",
        "1m",
        "warning",
        f"{_NAME} has finished no step for {{{{ $value | humanizeDuration }}}}",
        "Look at metaray watch: do workers wait for resources, or does a validation take that "
        "long? A run that is stopped continues from its last checkpoint with --resume.",
    ),
    (
        "MetarayWorkersMissing",
        f"max by ({_RUN}) ({catalog.WORKERS.exported}) "
        f"< max by ({_RUN}) ({catalog.WORKERS_WANTED.exported})",
        "5m",
        "warning",
        f"{_NAME} has {{{{ $value }}}} workers, fewer than it asked for",
        "The cluster has no room for more, or nodes are gone: add nodes, or lower the number with "
        "metaray scale.",
    ),
    (
        "MetarayWorkersLost",
        _newly(catalog.WORKERS_LOST.exported),
        "0m",
        "info",
        f"{_NAME} lost workers: {{{{ $value }}}} in the last {_RECENT}",
        "Results do not change, but a run ends after workers.max_restarts of them. The usual cause "
        "is lack of memory: lower train.shard_size.",
    ),
    (
        "MetarayNonFinite",
        _newly(_NON_FINITE),
        "0m",
        "critical",
        f"{_NAME} ended: a loss or gradient was infinite or NaN, and was refused",
        "The last checkpoint is good. Start again with a lower rate or with train.clip_norm.",
    ),
    (
        "MetarayRunFailed",
        _newly(_FAILED),
        "0m",
        "critical",
        f"{_NAME} ended with an error",
        "Its log says why; what can be repaired outside continues with --resume.",
    ),
    (
        "MetarayTrialsFail",
        f"{_FAILED_TRIALS} >= 3 and {_FAILED_TRIALS} > 0.25 * "
        f"sum by (run) (max by (run, state) ({catalog.TRIALS.exported}))",
        "0m",
        "warning",
        "{{ $labels.run }}: {{ $value }} trials failed",
        "More than a quarter of the trials: the ranges reach where training breaks down.",
    ),
    (
        "MetarayGpuMemoryNearlyFull",
        f"max by ({_RUN}) ({catalog.GPU_SHARE.exported}) > {GPU_FULL}",
        "5m",
        "warning",
        f"{_NAME} fills {{{{ $value | humanizePercentage }}}} of a GPU",
        "The next larger shard, or another program on that GPU, ends a worker: lower "
        "train.shard_size.",
    ),
)


def _rule(
    name: str, expression: str, hold: str, severity: str, summary: str, advice: str
) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": hold,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": advice},
    }
