"""Which kind of config some settings describe."""

from __future__ import annotations

import pytest

from metaray.algorithms.errors import InputError
from metaray.platform.config.kinds import CONFIGS, config_class_of
from metaray.platform.config.meta import RunConfig
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.experiment.registry import EXPERIMENTS, experiment_of


def test_the_section_of_a_kind_tells_it() -> None:
    assert config_class_of({"seed": 1, "job": {"name": "moco"}}) is TransferConfig
    assert config_class_of({"seed": 1, "method": {"name": "anil"}}) is RunConfig
    assert config_class_of({"seed": 1}) is RunConfig


def test_settings_of_two_kinds_are_refused() -> None:
    with pytest.raises(InputError, match="have the sections method and job, of which a run has"):
        config_class_of({"job": {}, "method": {}})


def test_every_config_has_its_experiment() -> None:
    assert {config.kind for config in CONFIGS} == EXPERIMENTS.keys()
    for config in CONFIGS:
        assert experiment_of(config()).config_class is config
        assert experiment_of({config.section: {}}).config_class is config
        assert config.section in config.model_fields
