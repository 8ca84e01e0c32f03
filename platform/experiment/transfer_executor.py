"""Training and test of a transfer job: in this process, or with the workers of Ray Train."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from metaray.platform.distributed.compute import compute, trainer_here
from metaray.platform.experiment.session import Executor
from metaray.platform.training.transfer.initialization import initial_state

if TYPE_CHECKING:
    from metaray.platform.experiment.transfer_session import TransferSession


class TransferExecutor(Executor):
    """Computes a job. Where it is tested, the processes that trained it do so."""

    def __init__(self, session: TransferSession, tests: bool) -> None:
        self._session = session
        self._tests = tests
        self._tested = False
        self._parts = session.plan, session.blueprint, session.run, session.checkpoints

    @override
    def train(self) -> bool:
        callbacks = self._session.callbacks
        self._tested = self._tests
        if self._tests:
            return compute(*self._parts, callbacks)
        with (
            callbacks.training(),
            trainer_here(*self._parts, callbacks) as trainer,
            callbacks.attach(),
        ):
            return trainer.train().stopped

    @override
    def evaluate(self) -> None:
        """Test what is not tested yet, in this process; results lie in the run directory."""
        session = self._session
        has_start = (session.run.evaluations / "before.json").is_file()
        if self._tested and has_start:
            return
        with trainer_here(*self._parts, session.callbacks) as trainer:
            if not self._tested:
                trainer.test(session.last)
            if not has_start:
                start = initial_state(session.config, session.blueprint.domains)
                trainer.test_before(start.checkpoint)
