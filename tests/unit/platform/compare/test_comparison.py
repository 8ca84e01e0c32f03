"""Runs, figures, plots and page of a small real comparison."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.common.errors import Stopped
from metaray.platform.common.formatting import short_time
from metaray.platform.compare import plots
from metaray.platform.compare.directory import CompareDirectory
from metaray.platform.compare.events import RunUpdated
from metaray.platform.compare.make_plan import make_plan, named_entries
from metaray.platform.compare.one_run import perform
from metaray.platform.compare.page import write_comparison
from metaray.platform.compare.paired import Difference
from metaray.platform.compare.plan import Plan
from metaray.platform.compare.progress import RunsProgress
from metaray.platform.compare.results import Results
from metaray.platform.compare.status import ProgressCallback, RunProgress
from metaray.platform.compare.table import terminal_tables
from metaray.platform.compare.words import verdict
from metaray.platform.experiment import runner
from metaray.platform.experiment.adaptation import adaptation_time
from metaray.platform.experiment.comparison import Budget
from metaray.platform.experiment.meta_measures import episodes_sha256
from metaray.platform.experiment.meta_session import MetaSession
from metaray.platform.report.style import DARK
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.evaluation import evaluate
from metaray.platform.training.meta.pool import LocalPool


def evaluated(run: Path) -> MetaSession:
    session = runner.load(run)
    assert isinstance(session, MetaSession)
    return session


def measures_of(directory: CompareDirectory, entry: str, seed: int) -> Path:
    return directory.path / "runs" / entry / f"seed{seed}" / "measures.json"


def test_a_run_is_that_of_metaray_train(
    plan: Plan, finished: CompareDirectory, tmp_path: Path
) -> None:
    monitor = [Terminal(Console(quiet=True))]
    alone = runner.new(plan.entries[0].config_of(1), tmp_path / "alone", "local", monitor)
    compared = json.loads((measures_of(finished, "maml", 1).parent / "summary.json").read_text())
    for key in ("params_sha256", "accuracy", "baseline_accuracy", "tested_step"):
        assert compared[key] == alone[key], key


def test_entries_of_one_seed_see_the_same_episodes(plan: Plan, finished: CompareDirectory) -> None:
    hashes = {
        (entry, seed): json.loads(measures_of(finished, entry, seed).read_text())["episodes_sha256"]
        for entry in ("maml", "protonet")
        for seed in (0, 1)
    }
    assert hashes["maml", 0] == hashes["protonet", 0]
    assert hashes["maml", 1] == hashes["protonet", 1]
    assert hashes["maml", 0] != hashes["maml", 1]
    path = measures_of(finished, "protonet", 1)
    path.write_text(path.read_text().replace(hashes["maml", 1], "0" * 64))
    with pytest.raises(InputError, match="protonet, seed 1 was not tested on the episodes of maml"):
        Results.read(finished, plan)


def test_the_hash_follows_the_split_and_its_content(
    plan: Plan, finished: CompareDirectory, tmp_path: Path
) -> None:
    run = measures_of(finished, "maml", 0).parent
    before = evaluated(run)
    config = run / "config.json"
    config.write_text(config.read_text().replace('"rotations": "train"', '"rotations": "all"'))
    after = evaluated(run)
    assert episodes_sha256(before) != episodes_sha256(after)
    assert 0 < adaptation_time(before, before.tested_state(), "test") < 1


def test_curves_are_tests_at_other_shapes(plan: Plan, finished: CompareDirectory) -> None:
    rows = {row.name: row for row in Results.read(finished, plan).rows}
    assert rows["maml"].curve().keys() == {(5, 1), (5, 2)}
    assert rows["protonet"].curve().keys() == {(5, 1), (5, 2), (3, 1)}
    point = rows["protonet"].curve()[3, 1][0]
    run = rows["protonet"].runs[0]
    state = evaluated(run.folder.path).tested_state()
    config = run.record.config.model_copy(
        update={"task": run.record.config.task.model_copy(update={"ways": 3})}
    )
    test = evaluate(LocalPool(Blueprint.open(config)), Blueprint.open(config), "test", 6, state)
    assert point["score"] == pytest.approx(test.headline()["accuracy"])


def test_a_shape_that_diverges_is_left_out_with_its_reason(
    plan: Plan, tmp_path: Path, tiny: list[str]
) -> None:
    """Huge inner steps overflow the network; without any, training goes well."""
    diverging = [*tiny, "method.name=maml", "method.inner_lr=1e38", "train.outer_steps=1"]
    one = make_plan(
        named_entries(
            [], "maml", [*diverging, "method.eval_inner_steps=0", "method.inner_steps=0"]
        ),
        budget=Budget(unit="steps", amount=1), num_seeds=1, shots=[2], ways=[5], curve_episodes=4,
    )  # fmt: skip
    directory = CompareDirectory.create(tmp_path / "out")
    one.write(directory.plan)
    (folder,) = directory.runs(one)
    perform(one.entries[0].config_of(0), folder, one.curves, "local", CallbackList())
    config = folder.path / "config.json"
    config.write_text(config.read_text().replace('"eval_inner_steps": 0', '"eval_inner_steps": 9'))
    folder.measures.unlink()
    perform(one.entries[0].config_of(0), folder, one.curves, "local", CallbackList())
    points = json.loads(folder.measures.read_text())["curve"]
    assert all("infinite or NaN" in point["left_out"] for point in points)
    results = Results.read(directory, one)
    write_comparison(directory, results)
    assert "maml at 5 ways, 2 shots is left out" in directory.page.read_text()
    assert not (directory.plots / "shots.png").exists()


def test_the_table_is_of_the_runs(plan: Plan, finished: CompareDirectory) -> None:
    results = Results.read(finished, plan)
    write_comparison(finished, results)
    table = pq.read_table(finished.episodes).to_pandas()
    assert len(table) == 2 * 2 * 10
    summary = json.loads(finished.summary.read_text())
    assert [e["entry"] for e in summary["entries"]] == [row.name for row in results.rows]
    best, other = summary["entries"]
    assert summary["reference"] == best["entry"]
    assert best["difference"] is None
    mean = table.groupby("entry")["accuracy"].mean()
    for entry in summary["entries"]:
        assert entry["score"]["mean"] == pytest.approx(mean[entry["entry"]])
        assert entry["outer_steps"] == 6
        assert entry["peak_memory_bytes"] > 50e6
        assert entry["num_parameters"] > 1000
    wide = table.pivot(index=["seed", "episode"], columns="entry", values="accuracy")
    paired = (wide[other["entry"]] - wide[best["entry"]]).mean()
    assert other["difference"]["mean"] == pytest.approx(paired)
    assert other["difference"]["seeds"] == 2


@pytest.mark.drawn
def test_the_page_stands_alone_and_says_what_was_done(
    plan: Plan, finished: CompareDirectory
) -> None:
    results = Results.read(finished, plan)
    write_comparison(finished, results)
    page = finished.page.read_text()
    assert "2 methods on glyphs, 5-way 1-shot" in page
    assert "6 outer steps, each entry under seeds 0, 1" in page
    assert f"{100 * results.rows[0].score.mean:.2f} ±" in page
    assert "transductive for some entries" in page
    assert "At 5 ways only, having one output per class: maml." in page
    assert f"{results.rows[0].name} has the best accuracy: " in page
    assert "Over the 2 seeds, compared with" in page
    for entry in ("maml", "protonet"):
        for seed in (0, 1):
            assert f'<a href="runs/{entry}/seed{seed}/report.html">seed {seed}</a>' in page
    assert "http" not in page.split("</head>")[1]
    assert "<script" not in page
    for name in ("scores", "shots", "ways", "time", "cost"):
        with Image.open(finished.plots / f"{name}.png") as image:
            pixels = np.asarray(image.convert("RGB"))
        assert (pixels != pixels[0, 0]).any(-1).mean() > 0.005, name
        assert plots.scores(results, DARK) is not None
    again = finished.page.read_bytes()
    write_comparison(finished, results)
    assert finished.page.read_bytes() == again


def test_the_interval_over_classes_is_that_of_the_runs(
    plan: Plan, finished: CompareDirectory
) -> None:
    results = Results.read(finished, plan)
    write_comparison(finished, results)
    page = finished.page.read_text()
    assert "over classes" in page
    tested = {row.first.summary["num_test_classes"] for row in results.rows}
    assert f"The test has {tested.pop()} classes." in page
    for row, entry in zip(
        results.rows, json.loads(finished.summary.read_text())["entries"], strict=True
    ):
        each = [run.record.summary["classes_ci95"] for run in row.runs]
        assert entry["classes_ci95"] == pytest.approx(np.mean(each))
        assert f"<td>± {100 * np.mean(each):.2f}</td>" in page


def test_a_failed_run_is_told_and_the_rest_is_shown(plan: Plan, finished: CompareDirectory) -> None:
    measures_of(finished, "protonet", 1).unlink()
    failure = measures_of(finished, "protonet", 1).with_name("failure.txt")
    failure.write_text("the loss is <b>not</b> finite\n")
    results = Results.read(finished, plan)
    assert results.failures == {"protonet, seed 1": "the loss is <b>not</b> finite"}
    assert [len(results.row(name).runs) for name in ("maml", "protonet")] == [2, 1]
    write_comparison(finished, results)
    assert "the loss is &lt;b&gt;not&lt;/b&gt; finite" in finished.page.read_text()
    for entry in ("maml", "protonet"):
        for seed in (0, 1):
            measures_of(finished, entry, seed).unlink(missing_ok=True)
    with pytest.raises(InputError, match="no run in .* has a result"):
        Results.read(finished, plan)


def test_a_reference_is_kept_whatever_its_rank(plan: Plan, finished: CompareDirectory) -> None:
    worst = Results.read(finished, plan).rows[-1].name
    named = Results.read(finished, plan.model_copy(update={"reference": worst}))
    assert named.reference == worst
    assert named.row(worst).difference is None
    assert named.rows[0].difference is not None
    assert named.rows[0].difference.mean >= 0


def difference(mean: float, p: float, p_seeds: float | None = None) -> Difference:
    return Difference(
        mean=mean,
        ci95=0.01,
        p_t=p,
        p_wilcoxon=p,
        p_seeds=p_seeds,
        seeds=1 if p_seeds is None else 2,
    )


def test_the_verdict_says_which_differences_are_clear(
    plan: Plan, finished: CompareDirectory
) -> None:
    results = Results.read(finished, plan)
    first, second = results.rows
    value = f"{100 * first.score.mean:.2f} % ± {100 * first.score.ci95:.2f}"

    def told(found: Difference | None) -> str:
        return " ".join(verdict(replace(results, rows=(first, replace(second, difference=found)))))

    head = f"{first.name} has the best accuracy: {value}. For these trained models, compared with "
    head += f"{first.name}, {second.name} is "
    assert told(difference(-0.1, 0.01)) == f"{head}worse (p < 0.05 counts as clear)."
    assert told(difference(-0.1, 0.01, 0.2)) == (
        f"{head}worse (p < 0.05 counts as clear). Over the 2 seeds, compared with {first.name}, "
        f"{second.name} is not clearly different (p < 0.05 counts as clear)."
    )
    assert "is better" in told(difference(0.1, 0.01))
    assert "is not clearly different" in told(difference(0.1, 0.06))
    assert told(None) == f"{first.name} has the best accuracy: {value}."


def test_tables_fit_a_terminal(plan: Plan, finished: CompareDirectory) -> None:
    console = Console(width=90, record=True, quiet=True)
    with console.capture() as captured:
        for table in terminal_tables(Results.read(finished, plan)):
            Console(width=90, file=console.file).print(table)
    assert "…" not in captured.get()
    assert [short_time(s) for s in (2e-4, 0.0312, 2.5)] == ["200 µs", "31.2 ms", "2.5 s"]


def test_a_stopped_run_goes_on_with_the_same_bits(
    plan: Plan, finished: CompareDirectory, tmp_path: Path
) -> None:
    directory = CompareDirectory.create(tmp_path / "again")
    plan.write(directory.plan)
    folder = directory.runs(plan)[0]
    config = plan.entries[0].config_of(0)
    folder.path.mkdir(parents=True)
    (folder.path / "leftover").touch()  # killed before its config was written
    stopping = CallbackList()
    stopping.stop.request()
    with pytest.raises(Stopped):
        perform(config, folder, plan.curves, "local", stopping)
    assert not folder.measures.exists()
    assert not (folder.path / "leftover").exists()
    shown = ProgressCallback()
    perform(config, folder, plan.curves, "local", CallbackList([shown]))
    assert (shown.progress.step, shown.progress.state) == (6, "testing")
    summaries = [
        json.loads((path / "summary.json").read_text())
        for path in (folder.path, measures_of(finished, "maml", 0).parent)
    ]
    assert summaries[0]["params_sha256"] == summaries[1]["params_sha256"]


def test_a_run_that_was_tested_is_only_measured(plan: Plan, finished: CompareDirectory) -> None:
    path = measures_of(finished, "maml", 0)
    before = json.loads(path.read_text())
    stamp = (path.parent / "summary.json").stat().st_mtime_ns
    path.unlink()
    folder = finished.runs(plan)[0]
    perform(plan.entries[0].config_of(0), folder, plan.curves, "local", CallbackList())
    after = json.loads(path.read_text())
    assert after["curve"] == before["curve"]
    assert after["peak_memory_bytes"] is None
    assert (path.parent / "summary.json").stat().st_mtime_ns == stamp


def test_progress_in_a_pipe_is_lines(plan: Plan, finished: CompareDirectory) -> None:
    folders = finished.runs(plan)
    folders[0].measures.unlink()
    times = iter(range(0, 1000, 6))
    console = Console(width=200, get_time=lambda: float(next(times)), quiet=False)
    progress = RunsProgress(console, folders)
    callbacks = CallbackList([progress])
    with console.capture() as captured, callbacks.training():
        for step in (1, 2, 3):
            at = RunProgress(state="training", step=step, total_steps=6, loss=1.5, left_s=3.0)
            callbacks.on_event(RunUpdated(run=folders[0], progress=at))
        failed = RunProgress(state="failed", reason="a [loss] was not finite")
        callbacks.on_event(RunUpdated(run=folders[0], progress=failed))
    lines = captured.get().splitlines()
    assert lines[0] == "3 of 4 runs done"
    assert lines[1] == "maml, seed 0: training"
    assert "maml, seed 0:  step 2/6  loss 1.5  left 0:00:03" in lines
    assert lines[-1] == "maml, seed 0: failed: a [loss] was not finite"
    with console.capture() as captured:
        console.print(progress.table())
    assert "maml, seed 0      failed" in captured.get()
    assert "3 of 4 runs done" in captured.get()


def test_a_regression_is_compared_by_its_error(tmp_path: Path) -> None:
    sets = [
        "data.name=sinusoid", "model.width=8", "train.validate_every=1", "evaluate.num_episodes=20",
        "method.eval_inner_steps=1",
    ]  # fmt: skip
    plan = make_plan(
        named_entries([], "maml,fomaml", sets),
        budget=Budget(unit="tasks", amount=50),
        num_seeds=1,
        shots=[5],
        curve_episodes=4,
    )
    directory = CompareDirectory.create(tmp_path / "out")
    plan.write(directory.plan)
    for entry, folder in zip(plan.entries, directory.runs(plan), strict=True):
        perform(entry.config_of(0), folder, plan.curves, "local", CallbackList())
    results = Results.read(directory, plan)
    write_comparison(directory, results)
    assert results.rows[0].score.mean <= results.rows[1].score.mean
    assert results.reference == results.rows[0].name
    assert json.loads(directory.summary.read_text())["score"] == "mse"
    page = directory.page.read_text()
    assert "2 methods on sinusoid, 10 examples per task" in page
    assert f"{results.rows[0].score.mean:.4g} ±" in page
    assert "over classes" not in page
    assert {path.stem for path in directory.plots.iterdir()} == {"scores", "shots", "time", "cost"}
