"""Peak memory of one MAML meta-gradient against the number of inner steps, for the exact forms.

``rules`` is the recursion over layers whose derivatives are written out (``workers.derivatives``).

    python benchmarks/memory.py

Conv4 (strided, 64 filters), 5-way 5-shot with 15 queries per class, a shard of 8 tasks, one thread.
Each figure comes from a separate process: its peak resident set above that before the gradient,
when a task with one query a class has loaded all libraries.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from time import perf_counter

from common import report

STEPS = (1, 2, 5, 10, 20, 40)
FORMS = ("unrolled", "recursion", "rules")


def measure(form: str, steps: int, tasks: int) -> tuple[float, float]:
    """Peak above the baseline in MB, and seconds of the gradient."""
    import torch

    from metaray.algorithms.algorithm import State
    from metaray.algorithms.batching import batched_task_gradients
    from metaray.algorithms.configs import ModelConfig
    from metaray.algorithms.episode import Episode
    from metaray.algorithms.methods.maml_config import MAMLConfig
    from metaray.algorithms.models.build import build_backbone
    from metaray.algorithms.registry import build_algorithm

    torch.set_num_threads(1)
    torch.manual_seed(0)
    backbone = build_backbone(ModelConfig(), (1, 28, 28))

    def gradient(inner_steps: int, tasks: int, queries: int) -> None:
        second_order = "recursion" if form == "rules" else form
        config = MAMLConfig(inner_lr=0.1, inner_steps=inner_steps, second_order=second_order)  # type: ignore[arg-type]
        algorithm = build_algorithm(config, backbone, "classification", 5)
        algorithm.rules = form == "rules"
        state: State = algorithm.init(0)
        episodes = Episode(
            torch.rand(tasks, 25, 1, 28, 28),
            torch.arange(5).repeat(5).expand(tasks, -1).contiguous(),
            torch.rand(tasks, 5 * queries, 1, 28, 28),
            torch.arange(5).repeat(queries).expand(tasks, -1).contiguous(),
            torch.arange(tasks),
        )
        batched_task_gradients(algorithm, state, episodes, 5)

    gradient(1, 1, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = perf_counter()
    gradient(steps, tasks, 15)
    seconds = perf_counter() - started
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=8, help="tasks in the shard")
    parser.add_argument("--measure", nargs=2, metavar=("FORM", "STEPS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        form, steps = arguments.measure
        print(*measure(form, int(steps), arguments.tasks))
        return
    rows = []
    for steps in STEPS:
        row = {"inner steps": steps}
        for form in FORMS:
            command = [sys.executable, __file__, "--tasks", str(arguments.tasks)]
            output = subprocess.check_output([*command, "--measure", form, str(steps)], text=True)
            row[f"{form} MB"], row[f"{form} s"] = (float(part) for part in output.split())
        rows.append(row)
    report("memory", rows, tasks=arguments.tasks)


if __name__ == "__main__":
    main()
