"""``python -m metaray.platform.cli.job_entry``: what a job runs on the cluster.

It is the command line, given the words that were submitted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from metaray.algorithms.plugins import PLUGIN_PATH
from metaray.platform.jobs.job_spec import JobSpec


def main() -> None:
    """Run the command of the job in the working folder."""
    files = Path.cwd()
    spec = JobSpec.read(files)
    os.environ[PLUGIN_PATH] = str(files)  # which come before those in spec.directory
    sys.argv = ["metaray", *spec.arguments(files)]
    if spec.directory is not None:
        os.chdir(spec.directory)
    from metaray.platform.cli.main import run

    run()


if __name__ == "__main__":
    main()
