"""Words that people bring from other tools, and what they are called here."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple


class Ours(NamedTuple):
    """A setting, and a value as an example."""

    key: str
    example: str


_WORDS: dict[str, tuple[Ours, ...]] = {
    "epochs num_epochs max_epochs n_epochs iterations num_iterations max_iter steps num_steps "
    "max_steps": (Ours("train.outer_steps", "600"), Ours("train.steps", "1000")),
    "batch_size batch meta_batch tasks_per_batch": (
        Ours("train.meta_batch_size", "32"),
        Ours("train.batch_size", "64"),
    ),
    "lr learning_rate outer_lr": (Ours("train.meta_lr", "0.001"), Ours("train.lr", "0.01")),
    "fast_lr adaptation_lr alpha inner_learning_rate": (Ours("method.inner_lr", "0.4"),),
    "adaptation_steps inner_updates num_inner_steps": (Ours("method.inner_steps", "5"),),
    "way n_way n_ways num_ways": (Ours("task.ways", "5"),),
    "shot n_shot n_shots num_shots k_shot": (Ours("task.shots", "1"),),
    "query n_query n_queries num_queries q_query": (Ours("task.queries", "15"),),
    "backbone encoder network architecture": (Ours("model.name", "resnet12"),),
    "algorithm algo": (Ours("method.name", "protonet"),),
    "dataset": (Ours("data.name", "folder"),),
    "data_dir data_path data_root": (Ours("data.root", "photos"),),
    "img_size input_size": (Ours("data.image_size", "64"),),
    "num_workers n_jobs n_workers": (Ours("workers.count", "2"),),
    "num_gpus gpu n_gpus": (Ours("workers.gpus", "1"),),
    "amp fp16 bf16 dtype": (Ours("workers.precision", "bfloat16"),),
    "random_seed random_state manual_seed": (Ours("seed", "1"),),
    "early_stopping early_stopping_patience": (Ours("train.patience", "5"),),
    "pretrained": (Ours("model.weights", "weights.pth"), Ours("init.checkpoint", "runs/simclr")),
    "scheduler lr_scheduler": (Ours("train.schedule", "cosine"),),
    "episodes num_episodes test_episodes": (Ours("evaluate.num_episodes", "600"),),
}
OURS = {word: choices for words, choices in _WORDS.items() for word in words.split()}
"""settings by the last part of what they are called elsewhere, those of all kinds of runs"""

_AS_OPTIONS = {
    "method": (Ours("method.name", "protonet"),),
    "model": (Ours("model.name", "resnet12"),),
    "data": (Ours("data.name", "folder"),),
    "root": (Ours("data.root", "photos"),),
    "ways": (Ours("task.ways", "5"),),
    "shots": (Ours("task.shots", "1"),),
    "queries": (Ours("task.queries", "15"),),
    "seed": (Ours("seed", "1"),),
    "workers": (Ours("workers.count", "2"),),
    "gpus": (Ours("workers.gpus", "1"),),
    "device": (Ours("workers.device", "cpu"),),
    "precision": (Ours("workers.precision", "bfloat16"),),
    "inner_lr": (Ours("method.inner_lr", "0.4"),),
    "inner_steps": (Ours("method.inner_steps", "5"),),
    "patience": (Ours("train.patience", "5"),),
}
"""words that are ours, but no options"""
_OF_EPISODES = ("method.", "task.")


def our_word(key: str, known: Collection[str]) -> Ours | None:
    """The setting that ``key`` means elsewhere, one of ``known``; None where it is no such word."""
    choices = OURS.get(key.rsplit(".", 1)[-1].replace("-", "_").lower(), ())
    return next((ours for ours in choices if ours.key in known), None)


def option_hint(option: str, command: str = "metaray train") -> str:
    """What to write in place of an option that ``command`` has not; empty where that is unknown."""
    word = option.lstrip("-").replace("-", "_").lower()
    if word in ("config", "cfg", "config_file", "c"):
        return f"settings in a TOML file are given without an option: {command} settings.toml"
    if word in ("output", "output_dir", "out_dir", "save_dir", "log_dir", "o"):
        return "the folder of the run is --out runs/mine"
    choices = _AS_OPTIONS.get(word) or OURS.get(word, ())
    if " transfer " in command:  # which has no episodes, and other settings of training
        choices = tuple(one for one in choices if not one.key.startswith(_OF_EPISODES))[-1:]
    if not choices:
        return ""
    return f"settings are given with --set: --set {choices[0].key}={choices[0].example}"
