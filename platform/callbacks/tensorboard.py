"""The metrics of a run as event files for TensorBoard."""

from __future__ import annotations

import os
from time import monotonic
from typing import Any

from typing_extensions import override

from metaray.platform.callbacks.base import BackgroundCallback, EndState, RunInfo
from metaray.platform.callbacks.scalars import scalars
from metaray.platform.run.metrics_log import MetricsRow

FOLDER = "tensorboard"
_FLUSH_S = 5.0


class TensorBoard(BackgroundCallback):
    """Writes to ``tensorboard/`` of the run; a resumed run hides the steps that come again.

    The writer below ``SummaryWriter`` is used, since that has a thread and a bounded queue of its
    own: when the thread died of a full disk, the next write would wait for ever.
    """

    def __init__(self) -> None:
        self._writer: Any = None
        self._flush_at_s: float | None = None

    @override
    def on_start(self, info: RunInfo) -> None:
        # imported here: in the thread, since it takes a second
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        next_step = info.start_step + 1
        folder = info.folder / FOLDER
        folder.mkdir(exist_ok=True)
        suffix = f".{os.getpid()}.{next_step}"  # names have whole seconds alone
        self._writer = EventsWriter(str(folder / "events"), suffix)
        self._writer.write_event(Event(step=next_step, file_version="brain.Event:2"))
        start = SessionLog(status=SessionLog.START)
        self._writer.write_event(Event(step=next_step, session_log=start))

    @override
    def on_step(self, row: MetricsRow) -> None:
        from time import time

        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(row)]
        summary = Summary(value=values)
        self._writer.write_event(Event(step=row["step"], wall_time=time(), summary=summary))
        if self._flush_at_s is None:
            self._flush_at_s = monotonic() + _FLUSH_S

    @override
    def flush(self) -> None:
        if self._flush_at_s is not None and monotonic() >= self._flush_at_s:
            self._flush_at_s = None
            self._writer.flush()

    @override
    def on_end(self, state: EndState, error: BaseException | None) -> None:
        self._writer.close()
        self._flush_at_s = None
