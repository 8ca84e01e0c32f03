"""Recipes: a run has the published settings that docs/methods.md lists."""

from __future__ import annotations

import re

import pytest
from documented import REPOSITORY  # type: ignore[import-not-found]

from metaray.algorithms.registry import METHODS
from metaray.platform.config.tree import flat
from metaray.platform.experiment.meta import META

PAGE = (REPOSITORY / "docs" / "methods.md").read_text(encoding="utf-8")

ADAM_FIXED = "constant Adam 1e-3"
CHARACTERS = [
    # row, method, ways, shots, what the row says with the values of the run
    ("`maml` 5-way", "maml", 5, 1, (
        "step {method.inner_lr}", "{method.inner_steps} step, {method.eval_inner_steps} at test",
        "{train.meta_batch_size} tasks", "{train.outer_steps:,} steps",
    )),
    ("`maml` 20-way", "maml", 20, 1, (
        "step {method.inner_lr}", "{method.inner_steps} steps", "{train.meta_batch_size} tasks",
    )),
    ("`anil`", "anil", 5, 1, (
        "step {method.inner_lr}", "{method.inner_steps} steps, {method.eval_inner_steps} at test",
        "{train.meta_batch_size} tasks",
    )),
    ("`reptile` 5-way", "reptile", 5, 1, (
        "{method.inner_steps} steps of {method.inner_batch} examples",
        "at test {method.eval_inner_steps} of {method.eval_inner_batch}",
        "{task.train_shots} shots", "{train.meta_lr} falling", "{train.meta_batch_size} tasks",
        "{train.outer_steps:,} steps",
    )),
    ("`protonet`", "protonet", 5, 1, (
        "{task.train_ways}-way, {task.train_queries} queries",
        "halved every {train.lr_step_every:,} steps", "{train.meta_batch_size} task",
    )),
    ("`mamlpp`", "mamlpp", 5, 5, (
        "steps from {method.inner_lr}, {method.inner_steps} steps", "{task.train_queries} query",
        "{train.meta_batch_size} tasks", "{train.outer_steps:,} steps",
    )),
    ("`metasgd`", "metasgd", 5, 1, (
        "uniform in {method.inner_lr_low} to {method.inner_lr_high}", "{method.inner_steps} step",
        "{train.meta_batch_size} tasks", "{train.outer_steps:,} steps",
    )),
    ("`metasgd`", "metasgd", 20, 1, ("20-way {train.meta_batch_size}",)),
    ("`protomaml`", "protomaml", 5, 1, (
        "step {method.inner_lr}, {method.inner_steps} steps, {method.eval_inner_steps} at test",
        "{evaluate.batch_norm} batch norm", "{task.train_queries} queries",
        "times {train.lr_step_factor} every {train.lr_step_every:,}",
        "{train.outer_steps:,} steps",
    )),
    ("`matching`", "matching", 20, 1, ("{task.train_queries} queries",)),
    ("`relation`", "relation", 5, 1, (
        "{task.train_queries} queries", "every {train.lr_step_every:,} steps",
        "clipped to norm {train.clip_norm}",
    )),
    ("`relation`", "relation", 5, 5, ("({task.train_queries} for more shots",)),
    ("`relation`", "relation", 20, 1, ("20-way {task.train_queries}",)),
    ("`mann`", "mann", 5, 1, (
        "{train.meta_batch_size} tasks", "{train.outer_steps:,} steps", "{model.norm} norm",
    )),
    ("`snail`", "snail", 20, 1, (
        "{task.train_queries} query", "{train.meta_batch_size} tasks",
        "{train.outer_steps:,} steps", "{model.norm} norm",
    )),
    ("`caml`", "caml", 5, 1, (
        "{task.train_queries} queries", "Adam 3e-4 by {train.schedule}",
        "clipped to norm {train.clip_norm:g}", "{train.meta_batch_size} tasks",
        "{train.outer_steps:,} steps", "{model.norm} norm",
    )),
    ("`baseline`", "baseline", 5, 1, (
        "{method.eval_inner_steps} SGD steps", "mini-batches of {method.batch_size}",
        "{train.outer_steps:,} steps",
    )),
]  # fmt: skip
IMAGES = [
    ("`maml`", "maml", 5, 1, (
        "step {method.inner_lr}", "{method.inner_steps} steps, {method.eval_inner_steps} at test",
        "{task.train_queries} queries", "{train.meta_batch_size} tasks", "{model.width} filters",
        "clipped at {train.clip_value:g}",
    )),
    ("`maml`", "maml", 5, 5, ("5 shots: {train.meta_batch_size}",)),
    ("`reptile`", "reptile", 5, 1, (
        "{method.inner_steps} steps of {method.inner_batch}", "{task.train_shots} shots",
        "{model.width} filters", "{train.outer_steps:,} steps",
    )),
    ("`protonet`", "protonet", 5, 1, ("{task.train_ways}-way", "{task.train_queries} queries")),
    ("`protonet`", "protonet", 5, 5, ("5 shots: {task.train_ways}-way",)),
    ("`mamlpp`", "mamlpp", 5, 5, (
        "steps from {method.inner_lr}", "{task.train_queries} queries",
        "{train.meta_batch_size} tasks", "{model.width} filters",
        "{train.schedule} Adam", "clipped at {train.clip_value:g}",
    )),
    ("`metasgd`", "metasgd", 5, 1, (
        "{task.train_queries} queries", "{train.meta_batch_size} tasks", "{model.width} filters",
    )),
    ("`protomaml`", "protomaml", 5, 5, ("{task.train_queries} queries",)),
    ("`matching`", "matching", 5, 1, (
        "{task.train_queries} queries", ADAM_FIXED, "{train.outer_steps:,} steps",
    )),
    ("`matching`", "matching", 5, 5, ("5 shots: {train.outer_steps:,}",)),
    ("`relation`", "relation", 5, 1, ("{task.train_queries} queries",)),
    ("`relation`", "relation", 5, 5, (
        "5 shots: {task.train_queries}", "{train.outer_steps:,} steps",
    )),
    ("`baseline`", "baseline", 5, 1, ("{train.outer_steps:,} steps",)),
]  # fmt: skip
BIRDS = [
    ("`maml`", "maml", 5, 5, (
        "step {method.inner_lr} of the mean", "{method.eval_inner_steps} steps",
        "{task.train_queries} queries", "{train.meta_batch_size} tasks", "{model.width} filters",
    )),
    ("`protonet`", "protonet", 5, 1, ("{task.train_queries} queries", ADAM_FIXED)),
    ("`relation`", "relation", 5, 1, ("{task.train_queries} queries", ADAM_FIXED)),
    ("`baseline`", "baseline", 5, 1, ("{train.outer_steps:,} steps",)),
]  # fmt: skip
CASES = [
    (heading, column, data, *case)
    for heading, column, data, cases in (
        ("training episodes", None, "omniglot", CHARACTERS),
        ("miniImageNet", 1, "miniimagenet", IMAGES),
        ("miniImageNet", 2, "cub", BIRDS),
    )
    for case in cases
]


def row_of(heading: str, name: str, column: int | None) -> str:
    """A row of the table with ``heading``; with ``column``, that cell of it alone."""
    (table,) = (
        block
        for block in PAGE.split("\n\n")
        if block.startswith("|") and heading in block.splitlines()[0]
    )
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {name}"))
    return line if column is None else line.split("|")[column + 1]


@pytest.mark.parametrize(
    ("heading", "column", "data", "row", "method", "ways", "shots", "phrases"), CASES
)
def test_the_page_tells_what_a_run_has(
    heading: str,
    column: int | None,
    data: str,
    row: str,
    method: str,
    ways: int,
    shots: int,
    phrases: tuple[str, ...],
) -> None:
    settings = [f"method.name={method}", f"data.name={data}", f"task.ways={ways}"]
    config = META.load(None, [*settings, f"task.shots={shots}"])
    values = dict(flat(config.model_dump()))
    said = row_of(heading, row, column)
    for phrase in phrases:
        text = re.sub(r"\{([a-z_.]+)(:?[^}]*)\}", lambda m: format(values[m[1]], m[2][1:]), phrase)
        assert text in said, f"{phrase} -> {text}"
        if phrase == ADAM_FIXED:
            train = config.train
            assert (train.schedule, train.optimizer, train.meta_lr) == ("constant", "adam", 1e-3)


def test_the_page_names_the_methods_that_train_inductively() -> None:
    (said,) = re.findall(r"for ([^.]+?) also\s+`method\.train_batch_norm`", PAGE)
    have = {name for name in METHODS if "train_batch_norm" in METHODS[name].model_fields}
    assert set(re.findall(r"`(\w+)`", said)) == have


@pytest.mark.parametrize("data", ["omniglot", "miniimagenet", "glyphs"])
def test_protomaml_is_inductive_in_training_and_test(data: str) -> None:
    config = META.load(None, ["method.name=protomaml", f"data.name={data}"])
    assert getattr(config.method, "train_batch_norm", None) == "inductive"
    assert config.evaluate.batch_norm == "inductive"


def test_epochs_of_the_baselines_are_as_many_steps() -> None:
    """400 epochs of 64 x 600 images, 200 of the 5,885 of CUB, 5 of Omniglot's, 16 in a batch."""
    for data, epochs, images in (
        ("miniimagenet", 400, 64 * 600), ("cub", 200, 5885), ("omniglot", 5, 4112 * 20),
    ):  # fmt: skip
        config = META.load(None, ["method.name=baseline", f"data.name={data}"])
        assert config.train.outer_steps == epochs * -(-images // 16)
