"""Sets damaged checkpoints aside before a run continues, so that it continues from whole ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from metaray.platform.run.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    newest_whole,
    read_step,
    write_checkpoint,
)
from metaray.platform.run.directory import checkpoint_file, saved_steps

_SUFFIX = ".damaged"


def repair(folder: Path, notify: Callable[[str], None]) -> None:
    """Leave whole checkpoints alone in ``folder``; the run then continues from the newest.

    A damaged file is renamed. Where the best checkpoint is lost, the run goes back to one before
    it, and computes it again; where there is none, the best of the steps that follow is chosen.

    Args:
        folder: of the checkpoints of a run.
        notify: takes a sentence about each thing that is done.

    Raises:
        InputError: there are checkpoints, and all are damaged. Nothing was changed then.
    """
    newest = newest_whole(folder, lambda _: None)
    if newest is None:
        return
    whole = _set_damaged_aside(folder, newest, notify)
    best = newest.best_step
    if best is None or best in whole:
        return
    earlier = [step for step in whole if step < best]
    lost = f"the best checkpoint so far (step {best}) is lost"
    if earlier:
        for step in whole:
            if step > earlier[-1]:
                _rename(checkpoint_file(folder, step), ".superseded")
        notify(f"{lost}: training goes back to step {earlier[-1]} and computes it again")
    else:
        write_checkpoint(
            checkpoint_file(folder, newest.step), replace(newest, best_step=None, best_score=None)
        )
        notify(
            f"{lost}, and no checkpoint before it is left: the best step is chosen among those "
            f"from step {newest.step} on"
        )


def _set_damaged_aside(
    folder: Path, newest: Checkpoint, notify: Callable[[str], None]
) -> list[int]:
    """The steps whose files are whole, in their order."""
    whole = []
    for step in sorted(saved_steps(folder)):
        path = checkpoint_file(folder, step)
        try:
            read_step(folder, step)
        except DamagedCheckpointError as error:
            aside = _rename(path, _SUFFIX)
            notify(f"{error}: it is now {aside.name}; the run continues from step {newest.step}")
        else:
            whole.append(step)
    return whole


def _rename(path: Path, suffix: str) -> Path:
    return path.rename(path.with_name(path.name + suffix))
