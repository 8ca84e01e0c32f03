"""Settings for all tests: a cache of their own, small runs, and real data where it is."""

from __future__ import annotations

import gc
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import blank_plots
import pytest

# Ray reads it when it is imported, which tests of single parts do before any of them connects
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
# A cluster that runs on this machine is no matter of tests
os.environ["METARAY_HOME"] = os.path.join(tempfile.gettempdir(), f"metaray-tests-{os.getpid()}")

# By Python's own, a tenth of the time goes into looking for cycles
GC_THRESHOLDS = (5000, 20, 20)

LESS = {
    "caml": ("method.layers=2", "method.width=128"),
    "pt_map": ("method.steps=3", "method.sinkhorn_iterations=5"),
    **dict.fromkeys(("baseline", "baselinepp", "reptile"), ("method.eval_inner_steps=9",)),
}
"""Settings of methods that compute much for an episode, so that tests take seconds."""

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What importing has made stays until the end, so no search for cycles goes through it."""
    gc.disable()
    yield
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    blank_plots.draw(is_wanted=item.get_closest_marker("drawn") is not None)


def pytest_unconfigure() -> None:
    gc.unfreeze()  # else libraries call it a leak when Python ends


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of prepared data sets that the whole session shares."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny(cache: Path) -> list[str]:
    """Overrides for a run of seconds: uneven shards, a narrow network, few characters."""
    return [
        f"data.cache={cache}",
        "data.num_classes=200",
        "data.image_size=16",
        "model.width=8",
        "task.queries=2",
        "train.outer_steps=6",
        "train.meta_batch_size=7",
        "train.shard_size=3",
        "train.validate_every=3",
        "train.validate_episodes=10",
        "train.checkpoint_every=2",
        "evaluate.num_episodes=10",
        "evaluate.shard_size=4",
        "workers.count=0",
    ]


@pytest.fixture(scope="session")
def tiny_of(tiny: list[str]) -> Callable[[str], list[str]]:
    """Those overrides for a method: more ways in training where it can, and less to compute."""
    from metaray.algorithms.registry import METHODS

    def overrides(method: str) -> list[str]:
        ways = [] if METHODS[method].fixed_head else ["task.train_ways=8"]
        return [*tiny, f"method.name={method}", *ways, *LESS.get(method, ())]

    return overrides


@pytest.fixture(scope="session")
def real_omniglot() -> Path:
    folder = SHARED_DATA / "omniglot"
    if not folder.is_dir():
        pytest.skip("the real Omniglot is not at ../shared/data/omniglot")
    return folder


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket; credentials are in the environment alone."""
    import boto3

    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3", endpoint_url=s3_server).create_bucket(Bucket="lab")
    return "s3://lab/runs"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As in workers: several threads are slower on such small tensors, above all on busy cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
