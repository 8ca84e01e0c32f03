"""What runs reserve on a cluster, and whether they fit. GPUs are only numbers here."""

from __future__ import annotations

from typing import Any

import pytest

from metaray.platform.config.meta import WorkersConfig
from metaray.platform.config.transfer import TransferWorkersConfig
from metaray.platform.distributed.resources import (
    NoRoomError,
    process_needs,
    room_for,
    run_bundles,
    trial_bundles,
    trials_at_once,
)

GPU = {"gpus": 0.5, "device": "cuda"}


@pytest.mark.parametrize(
    ("workers", "needs"),
    [
        ({"count": 2, "cpus": 0.5, "threads": 4}, {"CPU": 0.5}),  # as the user says
        ({"count": 2, **GPU}, {"CPU": 1.0, "GPU": 0.5}),
        ({"count": 2, "cpus": 0}, {}),
        ({"count": 0}, {"CPU": 1.0}),
        ({"count": 0, "threads": 3}, {"CPU": 3.0}),
        ({"count": 0, "cpus": 4, **GPU}, {"CPU": 4.0, "GPU": 0.5}),
    ],
)
def test_what_each_process_reserves(workers: dict[str, Any], needs: dict[str, float]) -> None:
    assert process_needs(WorkersConfig(**workers)) == needs


@pytest.mark.parametrize(
    ("workers", "nodes", "found"),
    [
        ({"count": 4}, [{"CPU": 2.0}, {"CPU": 2.5}], 4),  # no worker lies on two nodes
        ({"count": 4}, [{"CPU": 2.0}, {"CPU": 1.5}], 3),
        ({"count": 4, **GPU}, [{"CPU": 64.0}, {"CPU": 8.0, "GPU": 1.0}], 2),
        ({"count": 3, "cpus": 0.1}, [{"CPU": 0.3}], 3),
        ({"count": 0, **GPU}, [{"CPU": 64.0}], 0),
        ({"count": 9, "cpus": 0}, [], 9),  # nothing is reserved
    ],
)
def test_how_many_processes_fit(
    workers: dict[str, Any], nodes: list[dict[str, float]], found: int
) -> None:
    assert room_for(WorkersConfig(**workers), nodes).found == found


def test_one_sentence_says_what_is_missing() -> None:
    workers = TransferWorkersConfig(count=4, min_count=3, **GPU)
    nodes = [{"CPU": 8.0, "GPU": 1.0}]
    with pytest.raises(NoRoomError) as error:
        room_for(workers, nodes, workers.min_count).check("this job")
    assert str(error.value) == (
        "this job: there is room for 2 of 3 workers of 1 CPU and 0.5 GPU each, on nodes with 8 CPU "
        "and 1 GPU: lower workers.count, workers.cpus or workers.gpus"
    )
    room_for(workers, [*nodes, *nodes], workers.min_count).check()


def test_a_process_of_its_own_is_told_of_its_threads() -> None:
    with pytest.raises(NoRoomError, match=r"0 of 1 processes of 3 CPU each.*lower workers.threads"):
        room_for(WorkersConfig(count=0, threads=3), [{"CPU": 2}]).check()


@pytest.mark.parametrize(
    ("workers", "nodes", "expected"),
    [
        ({"count": 0}, [{"CPU": 2}], 2),
        ({"count": 0, **GPU}, [{"CPU": 8, "GPU": 1}], 2),  # the GPU is the limit
        ({"count": 2}, [{"CPU": 2}, {"CPU": 3}], 2),  # 2 + 3 workers are two trials
        ({"count": 1, **GPU}, [{"CPU": 8, "GPU": 1}], 2),
        ({"count": 2, "cpus": 0}, [{"CPU": 4}], 4),
    ],
)
def test_trials_at_once_follow_from_the_nodes(
    workers: dict[str, Any], nodes: list[dict[str, float]], expected: int
) -> None:
    assert trials_at_once(WorkersConfig(**workers), nodes) == expected


@pytest.mark.parametrize(
    "workers", [{"count": 3}, {"count": 1, "cpus": 4}, {"count": 1, **GPU}, {"count": 0, **GPU}]
)
def test_a_trial_that_never_fits_is_refused(workers: dict[str, Any]) -> None:
    with pytest.raises(NoRoomError, match=r"a trial never fits .* there is room for \d of"):
        trials_at_once(WorkersConfig(**workers), [{"CPU": 2}])


def test_a_trial_of_a_transfer_job_reserves_what_its_settings_say() -> None:
    from metaray.platform.sweep.plan import make_plan

    settings: dict[str, Any] = {
        "job": {"name": "finetune"},
        "data": {"name": "glyphs"},
        "train": {"steps": 20},
        "workers": {"gpus": 0.5, "threads": 2},
    }
    plan = make_plan(settings, study_name="sweep")
    assert trial_bundles(plan.base.workers) == [{"CPU": 2.0, "GPU": 0.5}]
    assert trials_at_once(plan.base.workers, [{"CPU": 64, "GPU": 2}]) == 4


def test_placement_groups_of_trials_and_of_runs_of_a_comparison() -> None:
    two = WorkersConfig(count=2, cpus=0.5)
    assert trial_bundles(two) == [{}, {"CPU": 0.5}, {"CPU": 0.5}]  # its loop takes nothing
    assert run_bundles(two) == [{"CPU": 0.5}, {"CPU": 0.5}]
    alone = WorkersConfig(count=0, threads=2, **GPU)
    assert trial_bundles(alone) == run_bundles(alone) == [{"CPU": 2.0, "GPU": 0.5}]
    assert run_bundles(WorkersConfig(count=1, cpus=0)) == [{"CPU": 0.01}]  # else Ray refuses it
