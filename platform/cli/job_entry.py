"""``python -m metaray.platform.cli.job_entry``: what a job runs on the cluster.

It is the command line, given the words that were submitted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from metaray.algorithms.plugins import PLUGIN_PATH
from metaray.platform.jobs.order import JobSpec


def main() -> None:
    """Run the command of the order in the working folder."""
    files = Path.cwd()
    order = JobSpec.read(files)
    os.environ[PLUGIN_PATH] = str(files)  # which come before those in order.directory
    sys.argv = ["metaray", *order.arguments(files)]
    if order.directory is not None:
        os.chdir(order.directory)
    from metaray.platform.cli.main import run

    run()


if __name__ == "__main__":
    main()
