"""What the dashboards show: titles, units and PromQL. ``grafana.py`` makes dashboards of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metaray.cluster.monitoring import catalog
from metaray.cluster.monitoring.catalog import Metric

Shape = Literal["curves", "share", "table"]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One graph."""

    title: str
    queries: tuple[tuple[str, str], ...]
    """PromQL with ``$run``, and the legend with labels in ``{{ }}``"""
    unit: str = "short"
    """as Grafana names it"""
    shape: Shape = "curves"
    note: str = ""
    on_gpu: bool = False
    """without data where no GPU is used"""


@dataclass(frozen=True, kw_only=True)
class Board:
    """One dashboard, of all runs of one kind."""

    kind: Literal["train", "sweep", "transfer"]
    title: str
    panels: tuple[Panel, ...]


def _of(metric: Metric, kind: str, more: str = "") -> str:
    return f'{metric.exported}{{kind="{kind}",run=~"$run"{more}}}'


def _rate(metric: Metric, kind: str) -> str:
    return f"rate({_of(metric, kind)}[$__rate_interval])"


def _progress(kind: str) -> Panel:
    done, planned = (_of(m, kind) for m in (catalog.STEP, catalog.PLANNED_STEPS))
    return Panel(
        title="Progress",
        queries=((f"max by (run) ({done}) / max by (run) ({planned})", "{{run}}"),),
        unit="percentunit",
        shape="share",
        note="share of the planned steps that is done",
    )


def _split(title: str, metric: Metric, kind: str, unit: str = "short") -> Panel:
    return Panel(
        title=title,
        queries=((f"avg by (run, split) ({_of(metric, kind)})", "{{run}} {{split}}"),),
        unit=unit,
    )


def _speed(title: str, metric: Metric, kind: str) -> Panel:
    return Panel(
        title=title, queries=((f"sum by (run) ({_rate(metric, kind)})", "{{run}}"),), unit="cps"
    )


def _parts(kind: str) -> Panel:
    parts, steps = _rate(catalog.PART_SECONDS, kind), _rate(catalog.STEPS, kind)
    return Panel(
        title="Where a step's time goes",
        queries=(
            (
                f"sum by (run, part) ({parts}) / on (run) group_left sum by (run) ({steps})",
                "{{run}} {{part}}",
            ),
        ),
        unit="s",
        note="sample and compute are added over the shards of a step",
    )


def _workers(kind: str) -> Panel:
    queries = [(f"max by (run) ({_of(catalog.WORKERS, kind)})", "{{run}}")]
    if kind == "train":
        queries.append((f"max by (run) ({_of(catalog.WORKERS_WANTED, kind)})", "{{run}} wanted"))
    return Panel(title="Workers", queries=tuple(queries))


def _losses(kind: str) -> Panel:
    """A counter that never counted is not there: 0 is shown then."""
    zero = f"0 * max by (run) ({_of(catalog.WORKERS, kind)})"
    shown = [(catalog.WORKERS_LOST, "workers lost")]
    if kind == "train":
        shown.append((catalog.RECOMPUTED, "shards recomputed"))
    return Panel(
        title="Lost and done again",
        queries=tuple(
            (f"sum by (run) ({_of(metric, kind)}) or {zero}", f"{{{{run}}}} {word}")
            for metric, word in shown
        ),
    )


def _value(title: str, metric: Metric, kind: str, unit: str = "short") -> Panel:
    return Panel(
        title=title, queries=((f"max by (run) ({_of(metric, kind)})", "{{run}}"),), unit=unit
    )


def _gpu(kind: str) -> Panel:
    return Panel(
        title="GPU memory",
        queries=((f"max by (run) ({_of(catalog.GPU_SHARE, kind)})", "{{run}}"),),
        unit="percentunit",
        note="of the fullest GPU; empty where none is used",
        on_gpu=True,
    )


def _by_trial(title: str, metric: Metric, more: str = "", unit: str = "short") -> Panel:
    return Panel(
        title=title,
        queries=((f"avg by (run, trial) ({_of(metric, 'sweep', more)})", "{{run}} {{trial}}"),),
        unit=unit,
    )


TRAINING = Board(
    kind="train",
    title="metaray training",
    panels=(
        _progress("train"),
        _split("Loss", catalog.LOSS, "train"),
        _split("Accuracy", catalog.ACCURACY, "train", "percentunit"),
        _speed("Tasks a second", catalog.TASKS, "train"),
        _parts("train"),
        _workers("train"),
        _losses("train"),
        _value("Shards that wait", catalog.QUEUE_DEPTH, "train"),
        _value("Gradient norm", catalog.GRADIENT_NORM, "train"),
        _value("Outer step size", catalog.LEARNING_RATE, "train"),
        _gpu("train"),
    ),
)
SWEEP = Board(
    kind="sweep",
    title="metaray sweeps",
    panels=(
        Panel(
            title="Trials",
            queries=(
                (f"max by (run, state) ({_of(catalog.TRIALS, 'sweep')})", "{{run}} {{state}}"),
            ),
        ),
        Panel(
            title="Best so far",
            queries=(
                (f"max by (run, metric) ({_of(catalog.BEST, 'sweep')})", "{{run}} {{metric}}"),
            ),
            note="of complete trials",
        ),
        _by_trial("Validation accuracy", catalog.ACCURACY, ',split="validation"', "percentunit"),
        _by_trial("Loss in training", catalog.LOSS, ',split="train"'),
        _by_trial("Steps", catalog.STEP),
        Panel(
            title="Steps a second, all trials",
            queries=((f"sum by (run) ({_rate(catalog.STEPS, 'sweep')})", "{{run}}"),),
            unit="cps",
        ),
    ),
)
TRANSFER = Board(
    kind="transfer",
    title="metaray transfer jobs",
    panels=(
        _progress("transfer"),
        _split("Loss", catalog.LOSS, "transfer"),
        _split("Accuracy", catalog.ACCURACY, "transfer", "percentunit"),
        _speed("Images a second", catalog.IMAGES, "transfer"),
        _parts("transfer"),
        _workers("transfer"),
        _losses("transfer"),
        _value("Gradient norm", catalog.GRADIENT_NORM, "transfer"),
        _value("Learning rate", catalog.LEARNING_RATE, "transfer"),
        _gpu("transfer"),
    ),
)
BOARDS = (TRAINING, SWEEP, TRANSFER)
