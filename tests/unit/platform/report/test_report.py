from __future__ import annotations

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from metaray.algorithms.atomic import write_json
from metaray.algorithms.errors import InputError
from metaray.platform.experiment.meta import META
from metaray.platform.report.curves import smoothed
from metaray.platform.report.episode_image import is_cut
from metaray.platform.report.example import ExampleEpisode
from metaray.platform.report.page import write_report
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.training.meta.metrics import MetaTest

WAYS, QUERIES = 3, 2
VOID = {"meta", "img", "source", "link", "br"}


class Page(HTMLParser):
    """Text, links and images of a page, and whether its tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.urls: list[str] = []
        self.images: list[str] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "href", "action", "data", "poster"):
                self.urls.append(str(value))
            if tag in ("img", "source") and name in ("src", "srcset"):
                self.images.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def make_run(path: Path, *, steps: int, validated: bool = True, **user: Any) -> RunDirectory:
    """A run directory as training and evaluation leave it, with made-up figures."""
    config = META.resolve(user)
    run = RunDirectory.create(path)
    is_regression = config.data.name == "sinusoid"
    write_json(run.config, config.model_dump() | {"versions": {"torch": "2.9.1"}})
    _write_metrics(run, steps, validated, is_regression)
    trained, untrained = _meta_tests(is_regression)
    pq.write_table(trained.to_table(untrained), run.episodes)
    facts = {
        "method": config.method.name,
        "batch_norm": "inductive",
        "outer_steps": steps,
        "tested_step": steps,
        "inner_steps": getattr(config.method, "inner_steps", None),
        "eval_inner_steps": getattr(config.method, "eval_inner_steps", None),
        "wall_s": 61.0,
        "num_parameters": 111936,
        "params_sha256": "ab" * 32,
        "tested_at": "2026-03-01T12:05:00+00:00",
        "device": "cpu",
        "network": "conv4",
    }
    if not is_regression:
        facts |= {
            "splits": {
                split: {"classes": count, "images": 20 * count}
                for split, count in (("train", 64), ("val", 16), ("test", 3))
            },
            "class_accuracy": {"a <b>": 0.25, "b": 0.5, "c": 1.0},
            "confusion": {
                "classes": ["a <b>", "b", "c"],
                "shares": [[0.25, 0.75, None], [0.5, 0.5, 0.0], [None, 0.0, 1.0]],
            },
        }
    if validated:
        facts["val_mse" if is_regression else "val_accuracy"] = 0.875
    write_json(run.summary, facts | trained.headline() | untrained.baseline_headline())
    return run


def _write_metrics(run: RunDirectory, steps: int, validated: bool, is_regression: bool) -> None:
    rng = np.random.default_rng(0)
    with MetricsLog(run.metrics) as log:
        for step in range(1, steps + 1):
            row = {"step": step, "loss": float(rng.uniform(0.1, 2)), "wall_s": 0.5 * step}
            row |= {"meta_lr": 1e-3 / step, "grad_norm": float(rng.uniform(0.1, 2))}
            row |= {"tasks_per_s": float(rng.uniform(50, 60)), "workers": 2}
            if not is_regression:
                row["accuracy"] = float(rng.uniform(0.5, 1))
            if validated and step % 5 == 0:
                row |= {"val_mse" if is_regression else "val_accuracy": 0.8, "val_ci95": 0.02}
            log.append(row)


def _meta_tests(is_regression: bool) -> tuple[MetaTest, MetaTest]:
    rng = np.random.default_rng(2)
    if is_regression:
        y = rng.normal(0, 2, (9, 10, 1))
        noise = rng.normal(0, 1, (9, 2, 10, 1))
        outputs = [y[:, None] + scale * noise for scale in (0.3, 2.0)]
        trained, untrained = (MetaTest.from_outputs("regression", o, y, (0, 1)) for o in outputs)
        return trained, untrained
    labels = np.tile(np.repeat(np.arange(WAYS), QUERIES), (9, 1))
    noise = rng.normal(0, 1, (9, 2, WAYS * QUERIES, WAYS))
    logits = [noise + gain * np.eye(WAYS)[labels][:, None] for gain in (3.0, 0.3)]
    trained, untrained = (
        MetaTest.from_outputs("classification", o, labels, (0, 1)) for o in logits
    )
    return trained, untrained


@pytest.fixture(name="example")
def fixture_example() -> ExampleEpisode:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(WAYS), QUERIES)
    probabilities = 0.1 + 0.7 * np.eye(WAYS)[labels]
    probabilities[4] = [0.9, 0.05, 0.05]  # of class 2: the one that is wrong
    return ExampleEpisode(
        support_x=rng.uniform(0, 1, (WAYS, 1, 8, 8)),
        support_y=np.arange(WAYS),
        query_x=rng.uniform(0, 1, (WAYS * QUERIES, 1, 8, 8)),
        query_y=labels,
        probabilities=probabilities,
        class_names=["alpha", "<b>beta</b>", "gamma"],
    )


@pytest.fixture(name="sinusoid")
def fixture_sinusoid() -> ExampleEpisode:
    x = np.linspace(-5, 5, 50)[:, None]
    return ExampleEpisode(
        support_x=x[::10],
        support_y=np.sin(x[::10]),
        query_x=x[::-1],
        query_y=np.sin(x[::-1]),
        predictions=0.9 * np.sin(x[::-1]),
    )


def page_of(run: RunDirectory) -> Page:
    return Page(run.report.read_text(encoding="utf-8"))


def assert_is_drawn(path: Path) -> None:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert min(pixels.shape[:2]) > 200
    inked = (pixels != pixels[0, 0]).any(-1)
    assert inked.mean() > 0.01
    assert np.unique(pixels.reshape(-1, 3), axis=0).shape[0] > 20


@pytest.mark.drawn
def test_report_stands_alone(tmp_path: Path, example: ExampleEpisode) -> None:
    run = make_run(tmp_path / "run", steps=60, task={"ways": WAYS, "queries": QUERIES})
    write_report(run, example)
    page = page_of(run)
    assert len(page.images) == 2 * 11  # each in a light and in a dark version
    assert all(url.startswith("data:") for url in page.urls)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "@import" not in run.report.read_text()
    assert "url(" not in run.report.read_text()
    for image in page.images:
        head, data = image.split(",", 1)
        svg = ElementTree.fromstring(base64.b64decode(data))
        assert head == "data:image/svg+xml;base64"
        assert svg.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(list(svg.iter("{http://www.w3.org/2000/svg}path"))) > 5
        for bitmap in svg.iter("{http://www.w3.org/2000/svg}image"):
            link = bitmap.attrib["{http://www.w3.org/1999/xlink}href"]
            Image.open(io.BytesIO(base64.b64decode(link.split(",", 1)[1]))).verify()


def test_report_says_what_was_measured(tmp_path: Path, example: ExampleEpisode) -> None:
    run = make_run(tmp_path / "run", steps=60, task={"ways": WAYS, "queries": QUERIES})
    write_report(run, example)
    text, summary = page_of(run).text, json.loads(run.summary.read_text())
    assert "MAML on drawn glyphs, 3-way 1-shot" in text
    assert f"{100 * summary['accuracy']:.1f} % ± {100 * summary['ci95']:.1f}" in text
    assert f"{100 * summary['baseline_accuracy']:.2f} %" in text
    assert "Mean accuracy over 9 test episodes" in text
    assert "Batch norm was inductive" in text
    assert "chosen on validation: step 60 of 60 (87.50 % there)" in text
    assert "adapted by 1 gradient step in training, 3 in the test" in text
    assert "5 of 6 queries are right" in text
    assert "torch 2.9.1" in text
    assert "tested 1 March 2026, 12:05 UTC network conv4 device cpu" in text
    assert "training, validation and test classes 64 / 16 / 3" in text
    assert "training, validation and test images 1,280 / 320 / 60" in text
    inner_lr = json.loads(run.config.read_text())["method"]["inner_lr"]
    assert f"inner_lr {inner_lr} inner step size" in text
    assert f"metaray evaluate {run.path}" in text


def test_names_of_the_user_are_text_and_not_markup(tmp_path: Path, example: ExampleEpisode) -> None:
    run = make_run(
        tmp_path / "run", steps=3, task={"ways": WAYS}, data={"root": "<script>alert(1)</script>"}
    )
    write_report(run, example)
    page = page_of(run)
    assert "script" not in page.tags
    assert "<b>beta</b>" in page.text
    assert "<script>alert(1)</script>" in page.text


@pytest.mark.drawn
def test_plots_are_drawn_and_the_same_run_gives_the_same_report(
    tmp_path: Path, example: ExampleEpisode
) -> None:
    run = make_run(tmp_path / "run", steps=60, task={"ways": WAYS, "queries": QUERIES})
    write_report(run, example)
    first = run.report.read_bytes()
    write_report(run, example)
    assert run.report.read_bytes() == first
    plots = {path.stem: path for path in run.plots.iterdir()}
    names = "loss accuracy adaptation episodes calibration throughput example"
    names += " learning_rate grad_norm classes confusion"
    assert set(plots) == set(names.split())
    for path in plots.values():
        assert_is_drawn(path)


@pytest.mark.drawn
def test_report_of_a_regression(tmp_path: Path, sinusoid: ExampleEpisode) -> None:
    run = make_run(tmp_path / "run", steps=30, data={"name": "sinusoid"})
    write_report(run, sinusoid)
    text = page_of(run).text
    assert "test mean squared error" in text
    assert "Batch norm" not in text
    assert f"{json.loads(run.summary.read_text())['mse']:.4g}" in text
    assert {path.stem for path in run.plots.iterdir()} == {
        "loss",
        "adaptation",
        "episodes",
        "throughput",
        "learning_rate",
        "grad_norm",
        "example",
    }
    assert_is_drawn(run.plots / "example.png")


@pytest.mark.drawn
@pytest.mark.parametrize("data", ["glyphs", "sinusoid"])
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_report_of_a_short_run_without_validation(tmp_path: Path, steps: int, data: str) -> None:
    run = make_run(tmp_path / "run", steps=steps, validated=False, data={"name": data})
    write_report(run, None)
    page = page_of(run)
    assert "validation was not used to choose it" in page.text
    assert "An example" not in page.text
    assert (run.plots / "loss.png").exists() == (steps > 0)


@pytest.mark.drawn
def test_a_method_without_inner_loop_has_no_adaptation_curve(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=6, method={"name": "protonet"})
    summary = json.loads(run.summary.read_text())
    for key in ("reported_steps", "accuracy_by_step", "ci95_by_step", "baseline_accuracy_by_step"):
        summary[key] = summary[key][-1:]
    write_json(run.summary, summary)
    (run.plots / "adaptation.png").write_bytes(b"of an older report")
    write_report(run, None)
    text = page_of(run).text
    assert "Prototypical networks on drawn glyphs" in text
    assert "adapts without gradient steps" in text
    assert not (run.plots / "adaptation.png").exists()


@pytest.mark.parametrize("missing", ["summary", "episodes"])
def test_a_run_that_was_not_tested_is_refused(tmp_path: Path, missing: str) -> None:
    run = make_run(tmp_path / "run", steps=3)
    getattr(run, missing).unlink()
    with pytest.raises(InputError, match="has no meta-test to report: run metaray evaluate"):
        write_report(run, None)
    assert not run.report.exists()


def test_a_damaged_result_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=3)
    run.episodes.write_bytes(run.episodes.read_bytes()[:100])
    with pytest.raises(InputError, match="is not a table of episodes"):
        write_report(run, None)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=3)
    run.plots.rmdir()
    run.plots.write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"cannot write the report in .*: File exists; make room"):
        write_report(run, None)


def test_the_test_of_an_encoder_says_that_nothing_was_meta_trained(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run", steps=0, validated=False, method={"name": "baseline"},
        train={"outer_steps": 0},
    )  # fmt: skip
    origin = {"run": "runs/simclr", "trained_by": "simclr", "step": 700}
    write_json(run.summary, json.loads(run.summary.read_text()) | {"init": origin})
    write_report(run, None)
    text = page_of(run).text
    assert "Nothing was meta-trained: this is the encoder as it was left by runs/simclr" in text
    assert "meta-trained " not in text.replace("Nothing was meta-trained:", "")
    for other in (
        "validation was not used to choose it",
        "training never saw",
        "outer step tested",
        "in training,",
    ):
        assert other not in text


def test_a_test_of_another_shape_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=3)
    write_json(run.summary, json.loads(run.summary.read_text()) | {"shots": 5, "ways": 4})
    write_report(run, None)
    text = page_of(run).text
    assert "4-way 5-shot" in text
    assert "guessing 25.00 %" in text
    assert "shows 4 new classes with 5 labelled images of each" in text


def test_smoothing_is_a_mean_that_leaves_out_gaps() -> None:
    values = np.array([1.0, 2.0, np.nan, 6.0, 10.0])
    assert smoothed(values, 3).tolist() == [1.5, 1.5, 4.0, 8.0, 8.0]
    assert smoothed(values, 1) is values


@pytest.mark.drawn
def test_a_image_says_when_it_is_cut(example: ExampleEpisode) -> None:
    assert not is_cut(example)
    many = np.repeat(np.arange(WAYS), 7)
    large = ExampleEpisode(
        support_x=example.support_x,
        support_y=example.support_y,
        query_x=np.zeros((len(many), 1, 8, 8)),
        query_y=many,
        predictions=many,
    )
    assert is_cut(large)


def test_an_example_must_fit_together(example: ExampleEpisode) -> None:
    parts = {
        "support_x": example.support_x,
        "support_y": example.support_y,
        "query_x": example.query_x,
        "query_y": example.query_y,
    }
    with pytest.raises(ValueError, match="got neither"):
        ExampleEpisode(**parts)
    with pytest.raises(ValueError, match="6 queries, but 5 predictions"):
        ExampleEpisode(**parts, predictions=np.zeros(5, int))
