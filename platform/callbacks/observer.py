"""Looks on a run, as a ``Monitor`` that passes all on to the one that a person sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from metaray.platform.callbacks.identity import Identity
from metaray.platform.callbacks.monitor import Monitor, TrainingWatch
from metaray.platform.callbacks.publisher import Publisher, Row, Sink
from metaray.platform.callbacks.trackers import check_installed, open_tracker
from metaray.platform.config.monitoring import TrackerName
from metaray.platform.config.schema import RunConfig
from metaray.platform.config.transfer import TransferConfig


@contextmanager
def observed(
    folder: Path, config: RunConfig | TransferConfig, monitor: Monitor
) -> Iterator[Observer]:
    """An observer of the run with ``config`` in ``folder``, which tells ``monitor`` all.

    Raises:
        InputError: a tracker is not installed.
    """
    check_installed(config.monitoring.trackers)
    observer = Observer(folder, config, monitor)
    with observer.running():
        yield observer


class Observer(Publisher):
    """Made by ``observed``."""

    def __init__(self, folder: Path, config: RunConfig | TransferConfig, monitor: Monitor) -> None:
        self._settings = config.model_dump()
        identity = Identity.of(folder, self._settings)
        super().__init__(folder, identity, config.monitoring.export)
        self._trackers = config.monitoring.trackers
        self._monitor = monitor
        self._tested = 0

    def message(self, text: str) -> None:
        """See Monitor."""
        self.note(text)
        self._monitor.message(text)

    @contextmanager
    def training(
        self, total_steps: int, start_step: int, at_most_s: float | None
    ) -> Iterator[TrainingWatch]:
        """See Monitor."""
        with self._monitor.training(total_steps, start_step, at_most_s) as watch:
            self.update(
                state="training",
                total_steps=total_steps,
                start_step=start_step,
                at_most_s=at_most_s,
            )
            self._to_open["TensorBoard"] = partial(self._tensorboard, start_step + 1)
            for name in self._trackers:
                self._to_open[name] = partial(self._tracker, name)

            def on_row(row: Row) -> None:
                self._rows.append(row)
                watch.on_row(row)

            def notify(text: str) -> None:
                self.note(text)
                watch.notify(text)

            yield TrainingWatch(on_row=on_row, notify=notify, stop_requested=watch.stop_requested)

    @contextmanager
    def testing(self, num_episodes: int) -> Iterator[Callable[[int], None]]:
        """See Monitor."""
        with self._monitor.testing(num_episodes) as advance:
            self._tested = 0
            self.update(state="testing", to_test=num_episodes)

            def advanced(episodes: int) -> None:
                self._tested += episodes
                advance(episodes)

            yield advanced

    def _look(self, now_s: float) -> None:
        super()._look(now_s)
        self.update(tested=self._tested)

    def _tensorboard(self, next_step: int) -> Sink:
        from metaray.platform.callbacks.tensorboard import TensorBoard

        return TensorBoard(self._folder, next_step)

    def _tracker(self, name: TrackerName) -> Sink:
        return open_tracker(name, self._folder, self._identity, self._settings)
