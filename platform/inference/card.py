"""The model card of an exported learner: a README with the head that model hubs read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

import metaray
from metaray.algorithms.episode_shape import shape_label
from metaray.platform.common.formatting import percent, plural
from metaray.platform.inference.export import Exported
from metaray.platform.inference.learner import Learner


def model_card(learner: Learner, exported: Sequence[Exported], compared_on: str) -> str:
    """The text of ``README.md``.

    Args:
        learner: that was exported.
        exported: files for other programs.
        compared_on: the inputs on which these were compared.
    """
    spec, origin = learner.spec, learner.spec.origin
    sections = [
        f"---\n{yaml.safe_dump(_head(learner), sort_keys=False, allow_unicode=True)}---",
        f"# {spec.title}",
        "A model that learns new classes of pictures from a few examples. It was trained with "
        f"metaray {metaray.__version__}.",
        "## Use",
        '```python\nimport metaray as mr\n\nlearner = mr.load("this folder")\n'
        'model = learner.adapt(["a1.png", "a2.png", "b1.png"], ["a", "a", "b"])\n'
        'print(model.predict(["new.png"]), model.predict_proba(["new.png"]))\n```',
        "## Training",
        _table(_training(learner)),
        "## Test",
        _test(origin),
        "## How sure it is",
        _calibration(learner),
        "## Preprocessing",
        _preprocessing(learner),
        "## Files",
        _files(exported, compared_on),
        "## Limits",
        _limits(learner),
        "## Licences",
        _licences(origin),
    ]
    return "\n\n".join(sections) + "\n"


def _head(learner: Learner) -> dict[str, Any]:
    spec, origin = learner.spec, learner.spec.origin
    head: dict[str, Any] = {
        "library_name": "metaray",
        "license": "unknown",
        "pipeline_tag": "image-classification",
        "tags": ["few-shot-learning", "meta-learning", str(origin.get("trained_by", "metaray"))],
        "datasets": [str(origin.get("data", "unknown"))],
    }
    if origin.get("accuracy") is not None:
        task = {"type": "image-classification", "name": _shape(origin)}
        data = {"name": str(origin.get("data")), "type": str(origin.get("data"))}
        metric = {"type": "accuracy", "value": round(float(origin["accuracy"]), 4)}
        result = {"task": task, "dataset": data, "metrics": [metric]}
        head["metrics"] = ["accuracy"]
        head["model-index"] = [{"name": spec.title, "results": [result]}]
    return head


def _shape(origin: dict[str, Any]) -> str:
    if "ways" not in origin:
        return "few-shot classification"
    return f"{shape_label(origin['ways'], origin['shots'])} classification"


def _training(learner: Learner) -> list[tuple[str, str]]:
    spec, origin = learner.spec, learner.spec.origin
    rows = [
        ("method or job", str(origin.get("trained_by", ""))),
        ("data", str(origin.get("data", ""))),
        *([] if spec.encoder is None else [("frozen encoder", spec.encoder.name)]),
        ("network", spec.model.label),
        ("step", str(origin.get("step", ""))),
        ("SHA-256 of the parameters", str(origin.get("params_sha256", ""))),
    ]
    if spec.method is not None:
        settings = spec.method.model_dump(exclude={"name"})
        rows += [(f"method.{key}", str(value)) for key, value in settings.items()]
    return rows


def _table(rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows)])


def _test(origin: dict[str, Any]) -> str:
    if origin.get("accuracy") is None:
        return "It was not tested on episodes."
    interval = origin.get("ci95")
    margin = "" if interval is None else f" ± {100 * float(interval):.2f}"
    mode = origin.get("batch_norm")
    return (
        f"{_shape(origin)}: accuracy {percent(float(origin['accuracy']))}{margin}"
        f" (95 % interval over {origin.get('num_episodes', '?')} episodes of classes that training "
        f"did not see{'' if mode is None else f', {mode} batch norm'})."
    )


def _calibration(learner: Learner) -> str:
    found = learner.spec.calibration
    if found is None:
        return "Nothing was measured: the probabilities are those of the method as it is."
    text = (
        f"Probabilities are softmax(logits / {found.temperature:.4g}). On validation episodes "
        f"({plural(found.ways, 'class')}, {plural(found.shots, 'shot')}, inductive batch norm) "
        f"{percent(found.accuracy, 1)} of the predictions are right, and the expected calibration "
        f"error is {percent(found.ece_after)}, without the temperature {percent(found.ece_before)}."
    )
    rule = found.refusal
    if rule is None:
        return text
    return (
        f"{text} With `reject`, {rule.sentence}; this rejects "
        f"{percent(rule.wrongly_refused, 1)} of "
        f"the pictures of the classes and accepts {percent(rule.wrongly_accepted, 1)} of the "
        "others."
    )


def _preprocessing(learner: Learner) -> str:
    how = learner.spec.preprocessing
    colour = "grey" if how.stored_channels == 1 else "colour"
    steps = [
        f"{colour}, turned as the camera's orientation says",
        f"resized to {how.width} x {how.height} pixels by Lanczos",
        *(["inverted: dark ink on a light ground becomes the reverse"] if how.inverted else []),
        *(
            [f"converted to {plural(how.channels, 'channel')} (ITU-R BT.601)"]
            if how.channels != how.stored_channels
            else []
        ),
        "values from 0 to 1, `[n, channels, height, width]`, float32",
    ]
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))


def _files(exported: Sequence[Exported], compared_on: str) -> str:
    lines = [
        "* `model.safetensors`, `config.json`: for `mr.load`",
        *(
            f"* `{one.file}`: {', '.join(one.inputs)} → {one.output}; largest relative difference "
            f"from the model {one.difference:.1e} on {compared_on}"
            for one in exported
        ),
    ]
    if exported:
        lines.append(
            "\nInputs are prepared pictures (see above); `support_labels` are one-hot, `[S, "
            "classes]`."
        )
    return "\n".join(lines)


def _licences(origin: dict[str, Any]) -> str:
    text = "The licence of the weights is not known to metaray: it is up to who trained them. "
    data, works = origin.get("data", "unknown"), origin.get("attribution")
    if not works:
        return f"{text}The licence of the data ({data}) is up to its publisher."
    lines = "\n".join(f"* {work}" for work in works)
    return f"{text}The pictures of the training ({data}) were made of these works:\n\n{lines}"


def _limits(learner: Learner) -> str:
    ways = learner.spec.ways
    classes = "any number of classes from two on" if ways is None else f"exactly {ways} classes"
    return (
        f"It learns {classes}. It was trained on pictures of the data above: on pictures that look "
        "different it is less accurate, and its probabilities and its rejection of unknown classes "
        "were measured on that data alone. Measure it on pictures of your own with labels "
        "(`metaray predict`) before you rely on it."
    )
