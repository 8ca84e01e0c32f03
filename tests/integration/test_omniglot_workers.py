"""Every method on the real Omniglot, from the command line: the same bits from 1 and 2 workers."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Command, arguments, summary_of  # type: ignore[attr-defined]

from metaray.algorithms.registry import METHODS

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.shared_data]


@pytest.mark.parametrize("method", METHODS)
def test_one_and_two_workers_give_the_same_bits(
    metaray: Command, tmp_path: Path, cache: Path, real_omniglot: Path, method: str
) -> None:
    """The published settings, but for the number of tasks and of steps."""
    sets = [
        f"method.name={method}",
        "data.name=omniglot",
        f"data.root={real_omniglot}",
        f"data.cache={cache}",
        "train.outer_steps=2",
        "train.meta_batch_size=3",
        "train.shard_size=1",
        "train.validate_every=0",
        "evaluate.num_episodes=4",
    ]
    trained = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        options = arguments([*sets, f"workers.count={workers}"])
        result = metaray("train", "--out", folder, *options)
        assert result.returncode == 0, result.stderr
        trained.append(summary_of(folder))
    one, two = trained
    assert one["params_sha256"] == two["params_sha256"]
    assert one["accuracy"] == two["accuracy"]
