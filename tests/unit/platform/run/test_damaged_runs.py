"""With any content of a damaged folder of a run, its reader gives a value or one sentence."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import check_damage, check_reader, check_sentence, damaged, odd_json, odd_trees
from rich.console import Console

from metaray.algorithms.errors import InputError
from metaray.platform.compare.measures import read_measures
from metaray.platform.compare.plan import Plan
from metaray.platform.config.loading import read_toml
from metaray.platform.experiment.meta_results import next_folder
from metaray.platform.experiment.registry import experiment_in, experiment_of
from metaray.platform.jobs.job_spec import JobSpec
from metaray.platform.report import transfer_words, words
from metaray.platform.report.record import RunRecord, read_episodes
from metaray.platform.run.checkpoint import CheckpointStore, read_checkpoint
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.run.provenance import DataRecord, images_trained_on
from metaray.platform.run.status import Status
from metaray.platform.run.summary import read_summary
from metaray.platform.sweep.exploit import read_lineage
from metaray.platform.sweep.outcome import TrialResult
from metaray.platform.sweep.plan import SweepPlan
from metaray.platform.training.pretrained import PretrainedEncoder
from metaray.platform.watch.reader import reader_of
from metaray.platform.watch.terminal import watch

OLD = Path(__file__).parents[3] / "integration" / "old_runs"


@pytest.fixture
def meta(tmp_path: Path) -> RunDirectory:
    shutil.copytree(OLD / "meta", tmp_path / "meta")
    return RunDirectory(tmp_path / "meta")


@pytest.fixture
def transfer(tmp_path: Path) -> RunDirectory:
    shutil.copytree(OLD / "finetune", tmp_path / "finetune")
    return RunDirectory(tmp_path / "finetune")


def written(path: Path, read: Callable[[], object]) -> Callable[[bytes], None]:
    """``read`` after a case was written to ``path``; it must take what is there already."""
    if path.exists():
        read()

    def check(content: bytes) -> None:
        path.write_bytes(content)
        read()

    return check


def tree_of(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def check_without_each_key(path: Path, read: Callable[[], object]) -> None:
    """``read`` takes a file that lacks a key, or says so. Leaves the file as it was."""
    whole = tree_of(path)
    for key in whole:
        path.write_text(json.dumps({name: value for name, value in whole.items() if name != key}))
        try:
            read()
        except InputError as error:
            check_sentence(error)
    path.write_text(json.dumps(whole))


def look(folder: Path) -> None:
    watch(reader_of(folder), Console(file=io.StringIO(), width=80), once=True)


def test_configs(meta: RunDirectory) -> None:
    def read() -> None:
        experiment_in(meta).read(meta.config)

    check_reader(odd_json(tree_of(meta.config)), written(meta.config, read), 100)


def test_networks_of_other_runs(meta: RunDirectory) -> None:
    read = written(meta.data, lambda: PretrainedEncoder.read(meta.path).settings())
    check_reader(odd_json(tree_of(meta.data)), read)


def test_records_of_data(transfer: RunDirectory) -> None:
    read = written(transfer.data, lambda: DataRecord.read(transfer))
    check_reader(odd_json(tree_of(transfer.data)), read)


def test_digests_of_images(meta: RunDirectory) -> None:
    assert len(images_trained_on(meta)) == 0
    file = io.BytesIO()
    np.save(file, np.arange(9, dtype=np.uint64))
    read = written(meta.trained_images, lambda: images_trained_on(meta))
    read(file.getvalue())
    assert images_trained_on(meta)[-1] == 8
    check_damage([file.getvalue()], read)
    with pytest.raises(InputError, match="does not hold digests"):
        read(b"nothing")  # once, that was taken for a run that had recorded none


def test_results_of_a_meta_test(meta: RunDirectory) -> None:
    def read() -> None:
        summary = read_summary(meta)
        assert summary is not None
        experiment_of(summary).result_lines(summary)
        record = RunRecord.read(meta)
        words.title(record), words.measured(record), words.metrics(record)

    check_without_each_key(meta.summary, read)
    check_reader(odd_json(tree_of(meta.summary)), written(meta.summary, read), 80)


def test_results_of_a_transfer_job(transfer: RunDirectory) -> None:
    def read() -> None:
        summary = read_summary(transfer)
        assert summary is not None
        experiment_of(summary).result_lines(summary)
        transfer_words.measured(summary), transfer_words.metric_rows(summary)

    check_without_each_key(transfer.summary, read)
    check_reader(odd_json(tree_of(transfer.summary)), written(transfer.summary, read))


def test_tables_of_episodes(meta: RunDirectory) -> None:
    content = meta.episodes.read_bytes()
    check_damage([content], written(meta.episodes, lambda: read_episodes(meta)), 80)


def test_statuses_that_are_watched(meta: RunDirectory) -> None:
    file = meta.path / "status.json"
    tree = tree_of(file) | {
        "state": "training", "workers": [{"number": 0, "state": "busy", "pid": 1, "node": "a"}],
        "events": [{"at": 1.0, "text": "[/b]"}], "best": {"trial": 0, "metric": "x", "value": 0.5},
        "trials": [{"number": 0, "state": "running", "values": {"a": 1}, "metrics": {"step": 1}}],
    }  # fmt: skip
    file.write_text(json.dumps(tree))
    assert Status.read(meta.path) is not None
    check_reader(odd_json(tree), written(file, lambda: look(meta.path)), 40)


def test_rows_of_metrics_that_are_watched(meta: RunDirectory) -> None:
    rows = [json.loads(line) for line in meta.metrics.read_text().splitlines()][:3]

    def read(changed: Any) -> None:
        lines = changed if isinstance(changed, list) else [changed]
        meta.metrics.write_text("".join(json.dumps(row) + "\n" for row in lines))
        look(meta.path)
        MetricsLog.read(meta.metrics)

    check_reader(odd_trees(rows), read, 40)


@pytest.mark.parametrize(
    "line",
    [
        '{"step": "1"}', '{"step": true}', '{"step": -1}', '{"step": 1, "loss": "0.5"}',
        '{"step": 1, "loss": [1]}', '{"step": 1, "loss": 1e999}', "[1]", "1", "[" * 5000,
    ],
)  # fmt: skip
def test_a_row_of_other_types_is_no_row(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
    with pytest.raises(InputError, match="line 2 of .* is not a row of metrics"):
        MetricsLog.read(path)


def test_watching_says_that_rows_are_damaged(meta: RunDirectory) -> None:
    lines = meta.metrics.read_text().splitlines(keepends=True)
    meta.metrics.write_text("".join([*lines[:-1], '{"step": "x"}\n', lines[-1]]))
    assert "1 damaged line of metrics.jsonl left out" in reader_of(meta.path).read().metrics


def test_checkpoints(meta: RunDirectory) -> None:
    file = max(meta.checkpoints.iterdir())
    content = file.read_bytes()
    size = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:size])
    fields = json.loads(header["__metadata__"]["metaray"])

    def with_fields(odd: Any) -> bytes:
        text = json.dumps(header | {"__metadata__": {"metaray": json.dumps(odd)}}).encode()
        return len(text).to_bytes(8, "little") + text + content[size:]

    def load() -> Any:
        try:
            return CheckpointStore(file.parent, fields["shapes"], keep=2).load(fields["step"]).named
        except InputError as error:
            if "of another method or network" in str(error):
                return None
            raise

    read = written(file, load)
    read(with_fields(fields))
    check_reader(odd_trees(fields).map(with_fields), read)
    check_reader(damaged([content[: size + 64]]), read)


def test_a_checkpoint_of_another_step_than_its_name_says(meta: RunDirectory) -> None:
    file = max(meta.checkpoints.iterdir())
    store = CheckpointStore(meta.checkpoints, read_checkpoint(file).shapes, keep=2)
    shutil.copyfile(file, meta.checkpoints / "step-00000099.safetensors")
    with pytest.warns(UserWarning, match="says that it is of step 8.*; the checkpoint of step 8"):
        assert store.latest().step == 8  # type: ignore[union-attr]
    with pytest.raises(InputError, match="says that it is of step 8.*continue the run"):
        store.load(99)


def test_odd_names_in_the_folders_of_a_run(meta: RunDirectory) -> None:
    for name in ("step-x.safetensors", "step-²²²²²²²².safetensors", "step-00000007.safetensors~"):
        (meta.checkpoints / name).write_text("no checkpoint")
    store = CheckpointStore(meta.checkpoints, "", keep=2)
    assert set(store.steps()) == {int(p.stem[5:]) for p in meta.checkpoints.glob("step-0*rs")}
    assert PretrainedEncoder.read(meta.path).checkpoint.step == max(store.steps())
    for name in ("²", "1 old", "2x", "-3", "٣", "notes"):
        (meta.evaluations / name).mkdir()
        shutil.copyfile(meta.config, meta.evaluations / name / "config.json")
    (meta.evaluations / "002").write_text("no folder")
    assert meta.tested_config == meta.evaluations / "001" / "config.json"
    assert next_folder(meta.evaluations).name == "003"


def test_the_latest_of_a_thousand_tests_is_found(meta: RunDirectory) -> None:
    for number in (999, 1000):
        shutil.copytree(meta.evaluations / "001", meta.evaluations / str(number))
    assert meta.tested_config.parent.name == "1000"


def test_settings_in_toml(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    text = b'seed = 1\n[train]\nouter_steps = 5\n[data]\nname = "glyphs"\n'
    check_damage([text], written(path, lambda: read_toml(path)))


def test_plans_of_many_runs(tmp_path: Path) -> None:
    sweep, compare = tmp_path / "sweep.json", tmp_path / "compare.json"
    shutil.copyfile(OLD / "sweep" / "sweep.json", sweep)
    shutil.copyfile(OLD / "compare" / "compare.json", compare)
    read_sweep = written(sweep, lambda: SweepPlan.read(sweep))
    check_reader(odd_json(tree_of(OLD / "sweep" / "sweep.json")), read_sweep, 80)
    read_plan = written(compare, lambda: Plan.read(compare))
    check_reader(odd_json(tree_of(OLD / "compare" / "compare.json")), read_plan, 25)


def test_measures_of_a_comparison(tmp_path: Path) -> None:
    path = tmp_path / "measures.json"
    shutil.copyfile(OLD / "compare" / "runs" / "protonet" / "seed0" / "measures.json", path)
    tree = tree_of(path)

    def read() -> None:
        measures = read_measures(path)
        assert isinstance(measures["adaptation_s"] + 1.0, float)
        sum(point["score"] + 1.0 for point in measures["curve"] if "score" in point)

    check_reader(odd_json(tree), written(path, read))


@pytest.mark.parametrize(
    ("name", "tree", "read"),
    [
        ("trial.json", {"metrics": {"step": 3}, "failure": None}, TrialResult.read),
        ("lineage.json", [{"trial": 0, "source": 1, "step": 4, "rates": {}}], read_lineage),
        ("job.json", {"words": ["train"], "folder": "x", "directory": None}, JobSpec.read),
    ],
)
def test_small_files(tmp_path: Path, name: str, tree: Any, read: Callable[[Path], object]) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(tree))
    assert read(tmp_path)
    check_reader(odd_json(tree), written(path, lambda: read(tmp_path)))


def test_half_a_character_is_refused_before_it_is_printed(meta: RunDirectory) -> None:
    summary = tree_of(meta.summary)
    meta.summary.write_text(json.dumps(summary | {"dataset": "\ud83d"}))
    with pytest.raises(InputError, match="surrogates not allowed"):
        read_summary(meta)


def test_a_message_cannot_write_to_the_terminal() -> None:
    error = InputError("class \x1b[2J\ncat\u202e\udce9 is odd: rename it")
    assert str(error) == r"class \x1b[2J\ncat\u202e\udce9 is odd: rename it"
