"""Numbers say what they cover: test classes beside episodes, and a network that collapsed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metaray.algorithms.episode import TaskSpec
from metaray.algorithms.tasks.content import ImageClass
from metaray.algorithms.tasks.image_episodes import ImageEpisodes
from metaray.algorithms.tasks.store import ImageStore
from metaray.algorithms.tasks.store_writer import write_store
from metaray.platform.experiment.meta import META
from metaray.platform.report import transfer_words
from metaray.platform.report.words import few_classes, result_lines
from metaray.platform.training.meta.class_results import class_results
from metaray.platform.training.meta.metrics import MetaTest
from metaray.platform.training.transfer.metrics import most_predicted

CONFIG = META.resolve(
    {"task": {"ways": 3, "shots": 1, "queries": 2}, "evaluate": {"num_episodes": 40}}
)


@pytest.fixture
def source(tmp_path_factory: pytest.TempPathFactory) -> ImageEpisodes:
    """Three test classes, each at four turns; an image has the number of its class and its own."""
    path = tmp_path_factory.mktemp("store") / "x.arrow"
    images = [np.full((6, 1, 8, 8), 10 * c, np.uint8) for c in range(9)]
    for pixels in images:
        pixels += np.arange(6, dtype=np.uint8)[:, None, None, None]
    classes = [ImageClass(f"c{c}", "", pixels) for c, pixels in enumerate(images)]
    write_store(path, classes, name="x", parameters={})
    splits = {"train": (0, 1, 2), "val": (3, 4, 5), "test": (6, 7, 8)}
    return ImageEpisodes(ImageStore.open(path), splits, "all")  # type: ignore[arg-type]


def spec_of(index: int) -> TaskSpec:
    return TaskSpec(split="test", index=index, seed=CONFIG.seed, shape=CONFIG.test_shape)


def test_queries_are_named_as_they_are_shown(source: ImageEpisodes) -> None:
    for index in range(20):
        names, images = source.queries_of(spec_of(index))
        episode = source.sample(spec_of(index))
        shown = (episode.query_x[:, 0, 0, 0] * 255).round().int().tolist()
        labels = episode.query_y.tolist()
        told = [10 * int(names[y][1:]) + i for y, i in zip(labels, images.tolist(), strict=True)]
        assert told == shown


def test_a_summary_counts_classes_without_their_turns(source: ImageEpisodes) -> None:
    """Class c6 is always right, c7 never, c8 always."""
    labels = np.stack([source.sample(spec_of(e)).query_y.numpy() for e in range(40)])
    logits = np.zeros((40, 1, 6, 3), np.float32)
    for index in range(40):
        names, _ = source.queries_of(spec_of(index))
        for query, label in enumerate(labels[index]):
            wrong = names[label] == "c7"
            logits[index, 0, query, (label + wrong) % 3] = 5.0
    test = MetaTest.from_outputs("classification", logits, labels, [0])
    found = class_results(test, CONFIG, source)
    assert found["num_test_classes"] == 3
    assert found["class_accuracy"] == {"c7": 0.0, "c6": 1.0, "c8": 1.0}
    assert found["classes_ci95"] > 3 * test.headline()["ci95"]
    assert found["splits"]["train"] == {"classes": 3, "images": 18}


def test_confusion_counts_the_episodes_that_show_both(source: ImageEpisodes) -> None:
    """All queries of class c6 are taken for c8 where that is shown, else for their own class."""
    labels = np.stack([source.sample(spec_of(e)).query_y.numpy() for e in range(40)])
    logits = np.zeros((40, 1, 6, 3), np.float32)
    for index in range(40):
        names, _ = source.queries_of(spec_of(index))
        for query, label in enumerate(labels[index]):
            wanted = "c8" if names[label] == "c6" and "c8" in names else names[label]
            logits[index, 0, query, names.index(wanted)] = 5.0
    test = MetaTest.from_outputs("classification", logits, labels, [0])
    found = class_results(test, CONFIG, source)["confusion"]
    assert found["classes"] == ["c6", "c7", "c8"]
    shares = np.array(found["shares"])
    assert shares[0, 2] == 1
    assert shares[0, 0] < 1
    assert shares[2, 0] == shares[1, 0] == shares[1, 2] == 0


def test_classes_that_never_meet_have_no_confusion(source: ImageEpisodes) -> None:
    config = META.resolve({"task": {"ways": 1, "shots": 1, "queries": 2}})
    labels = np.zeros((40, 2), np.int64)
    test = MetaTest.from_outputs("classification", np.zeros((40, 1, 2, 1)), labels, [0])
    shares = class_results(test, config, source)["confusion"]["shares"]
    assert shares == [[1, None, None], [None, 1, None], [None, None, 1]]


def meta_summary(**changes: Any) -> dict[str, Any]:
    return {
        "method": "maml", "dataset": "folder", "trained_on": "folder", "accuracy": 0.6,
        "ci95": 0.034, "baseline_accuracy": 0.3, "ways": 3, "shots": 1, "num_episodes": 600,
        "batch_norm": "transductive", "num_test_classes": 3, "classes_ci95": 0.21,
    } | changes  # fmt: skip


def test_a_test_of_few_classes_says_so() -> None:
    lines = [str(line) for line in result_lines(meta_summary())]
    assert lines[1].strip() == (
        "There are only 3 test classes. ± 3.40 is the interval over episodes of these classes; for "
        "other classes it is ± 21.00."
    )
    assert "only one test class" in few_classes(meta_summary(num_test_classes=1, classes_ci95=None))
    assert "these 64 test classes" in few_classes(meta_summary(num_test_classes=64))
    assert few_classes(meta_summary(num_test_classes=400, classes_ci95=0.04)) == ""


def test_classes_that_are_all_alike_promise_nothing_of_others() -> None:
    perfect = {"accuracy": 1.0, "ci95": 0.0, "classes_ci95": 0.0}
    assert "this says little of other classes" in few_classes(meta_summary(**perfect))
    assert few_classes(meta_summary(num_test_classes=64, **perfect)) == ""


def test_old_summaries_and_regressions_say_nothing_of_classes() -> None:
    old = meta_summary()
    del old["num_test_classes"], old["classes_ci95"]
    assert few_classes(old) == ""
    assert len(result_lines(old)) == 1


def transfer_summary(**changes: Any) -> dict[str, Any]:
    return {"num_classes": 10, "accuracy": 0.08, "interval": [0.05, 0.12], "ci95": 0.035} | changes


def test_a_collapsed_network_is_said() -> None:
    labels = np.arange(200) % 10
    predicted = np.full(200, 4)
    predicted[:4] = 1
    most = most_predicted(predicted, labels, [f"c{c}" for c in range(10)])
    assert most == {"name": "c4", "share": 0.98, "label_share": 0.1}
    sentence = transfer_words.failure(transfer_summary(most_predicted=most))
    assert sentence.startswith("The network has collapsed: 98 % of its predictions are c4,")
    assert "not above guessing (10.0 %)" in transfer_words.failure(transfer_summary())


def test_a_network_that_learned_is_not_blamed() -> None:
    fine = transfer_summary(accuracy=0.6, interval=[0.5, 0.7])
    assert transfer_words.failure(fine) == ""
    skewed = {"name": "healthy", "share": 0.95, "label_share": 0.93}
    assert transfer_words.failure(fine | {"most_predicted": skewed}) == ""
