"""``python -m metaray``: the command ``metaray`` of this interpreter."""

from metaray.platform.cli.main import run

if __name__ == "__main__":
    run()
