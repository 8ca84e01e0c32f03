"""The data of a transfer job."""

from __future__ import annotations

from collections.abc import Iterator

from metaray.algorithms.tasks.catalog import dataset_of, publishes_parts
from metaray.algorithms.tasks.preprocessing import Preprocessing
from metaray.algorithms.transfer.domain_config import DomainConfig
from metaray.algorithms.transfer.examples import Examples, open_examples
from metaray.platform.callbacks.preparing import preparing
from metaray.platform.config.loading import fitted_to
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.distributed.parallel_map import decoder
from metaray.platform.run.provenance import DataRecord, DomainRecord
from metaray.platform.training.transfer.blueprint import Domains
from metaray.platform.training.transfer.initialization import InitialState


def open_fitted(config: TransferConfig, address: str) -> tuple[Domains, TransferConfig, str]:
    """As ``open_domains``, with the division that the data allows, and a sentence where it is not
    the default."""
    random = [
        section
        for section, domain in (("data", config.data), ("target", config.target))
        if domain is not None
        and domain.division == "published"
        and config.given is not None
        and f"{section}.division" not in config.given
        and not publishes_parts(domain.stored())
    ]
    config = fitted_to(config, {f"{section}.division": "random" for section in random})
    chosen = ", ".join(f"{section}.division = random" for section in random)
    sentence = (
        f"{chosen}: there is no train and test folder or file, so the images of each class are "
        "divided at random"
    )
    return open_domains(config, address), config, sentence if random else ""


def open_domains(config: TransferConfig, address: str = "local") -> Domains:
    """The images of source and target, prepared with progress if need be."""
    mapper = decoder(config.workers.count if address == "local" else 0)

    def opened(domain: DomainConfig, section: str) -> Examples:
        with preparing(domain.name) as progress:
            return open_examples(domain, section, progress, mapper)

    return Domains.open(config, opened)


def notes_of(domains: Domains) -> list[str]:
    """Sentences about test images that are training images too."""
    tested = domains.tested
    leaked, count = tested.num_leaked(), tested.count("test")
    if not leaked:
        return []
    note = f"{leaked:,} of {count:,} test images are training images too: the accuracy is too high"
    if "drop_duplicates" in dataset_of(tested.config.name).settings:
        note += f"; remove the copies, or set {tested.section}.drop_duplicates = true"
    return [note]


def record_of(domains: Domains, start: InitialState | None = None) -> DataRecord:
    """What a job on ``domains`` keeps of them, of its start, and of its teacher."""
    origin = None if start is None else start.origin
    teacher = None if start is None else start.plan.teacher
    target = domains.target
    return DataRecord(
        source=_described(domains.source, "data"),
        target=None if target is None else _described(target, "target"),
        init=None if origin is None else origin.as_json(),
        teacher=None if teacher is None else teacher.model_dump(),
        preprocessing=_preprocessing(domains.source),
        attribution=tuple(dict.fromkeys(_attribution(domains))),
    )


def _attribution(domains: Domains) -> Iterator[str]:
    for examples in filter(None, (domains.source, domains.target)):
        if examples.store.header.made_of is not None:
            yield from examples.store.header.made_of.attribution()


def _preprocessing(examples: Examples) -> Preprocessing | None:
    config = examples.config
    classes = range(len(examples.store.header.class_names))
    return Preprocessing.of(examples.store, config.name, config.channels, classes)


def _described(examples: Examples, section: str) -> DomainRecord:
    return DomainRecord(
        name=examples.config.name,
        section=section,
        content_sha256=examples.content_sha256,
        input_shape=tuple(examples.input_shape),
        train_classes=len(examples.class_names),
        classes=tuple(examples.class_names),
        images=examples.describe(),
    )
