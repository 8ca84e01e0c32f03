"""Strategies of fine-tuning against the number of labels, from an encoder of other images.

    python benchmarks/finetuning.py --out runs/finetuning

The encoder, four blocks of 16 channels, is trained on 9,000 digits of MNIST at 16 pixels, and is
fine-tuned on USPS with 1 to 50 labels of each class, in 200 steps. Each strategy has the learning
rate that did best on validation images, once, with 20 labels per class that no figure is made
from; the weights tested are the last. A seed draws the labels, the head and the batches. There are
2,007 test images.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from statistics import mean

from cells import Cell, digits, interval, over_seeds, run
from common import Row, report
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

LABELS = (1, 5, 10, 20, 50)
RATES = (0.003, 0.01, 0.03, 0.1)
STRATEGIES = {
    "full": ["job.strategy=full"],
    "head": ["job.strategy=head"],
    "last block": ["job.strategy=last_blocks"],
    "discriminative": ["job.strategy=discriminative"],
    "gradual": ["job.strategy=gradual"],
    "L2-SP": ["job.l2_sp=0.1"],
    "scratch": [],
}
IMAGE = Path(__file__).parents[1] / "docs" / "finetuning.png"
_CHOOSING_SEED, _CHOOSING_LABELS = 1000, 20


def encoder_cell(out: Path) -> Cell:
    """MNIST, and a head that is not taken over."""
    sets = ("data.division=random", "data.test_share=0.01", "train.steps=1000", "train.lr=0.05")
    return Cell(out / "mnist", digits("mnist_t10k.npz", "model.width=16", *sets))


def cell(out: Path, encoder: Path, strategy: str, labels: int, seed: int, rate: float) -> Cell:
    start = ["model.width=16"] if strategy == "scratch" else [f"init.checkpoint={encoder}"]
    choosing = seed == _CHOOSING_SEED
    sets = [
        "job.name=finetune",
        *STRATEGIES[strategy],
        *start,
        f"data.labels_per_class={labels}",
        f"data.division_seed={seed}",
        f"seed={seed}",
        f"train.lr={rate:g}",
        "train.steps=200",
        f"train.validate_every={200 if choosing else 0}",
        "train.checkpoint_every=1000",
        "evaluate.checkpoint=last",
    ]
    name = f"{strategy.replace(' ', '_')}-{labels}-{seed}-{rate:g}"
    return Cell(out / name, digits("usps_*.npz", *sets), tested=not choosing)


def best_rates(out: Path, encoder: Path) -> dict[str, float]:
    """The rate of each strategy with the highest accuracy on validation images."""
    tried = {
        (strategy, rate): cell(out, encoder, strategy, _CHOOSING_LABELS, _CHOOSING_SEED, rate)
        for strategy, rate in product(STRATEGIES, RATES)
    }
    run(list(tried.values()))
    score = {key: validated(found) for key, found in tried.items()}
    return {s: max(RATES, key=lambda rate: score[s, rate]) for s in STRATEGIES}


def validated(found: Cell) -> float:
    from metaray.platform.run.directory import RunDirectory
    from metaray.platform.run.metrics_log import MetricsLog

    return float(MetricsLog.read(RunDirectory(found.folder).metrics)[-1]["val_accuracy"])


def draw(cells: dict[tuple[str, int], list[Cell]]) -> None:
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for strategy in STRATEGIES:
        values = [[c.summary["accuracy"] for c in cells[strategy, k]] for k in LABELS]
        axes.errorbar(
            LABELS,
            [mean(v) for v in values],
            yerr=[interval(v) or 0 for v in values],
            fmt="s--" if strategy == "scratch" else "o-",
            markersize=4,
            linewidth=1.3,
            capsize=2,
            label=strategy,
        )
    axes.set_xscale("log")
    axes.set_xticks(LABELS, [str(k) for k in LABELS])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(xlabel="labels per class", ylabel="test accuracy")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(IMAGE, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/finetuning"))
    arguments = parser.parse_args()
    encoder = encoder_cell(arguments.out)
    run([encoder])
    rates = best_rates(arguments.out, encoder.folder)
    cells = {
        (strategy, labels): [
            cell(arguments.out, encoder.folder, strategy, labels, seed, rates[strategy])
            for seed in range(arguments.seeds)
        ]
        for strategy, labels in product(STRATEGIES, LABELS)
    }
    run([c for seeds in zip(*cells.values(), strict=True) for c in seeds])
    rows: list[Row] = [
        {"strategy": strategy, "labels per class": labels, "lr": rates[strategy]}
        | over_seeds(found)
        for (strategy, labels), found in cells.items()
    ]
    report("finetuning", rows, steps=200, seeds=arguments.seeds)
    draw(cells)


if __name__ == "__main__":
    main()
