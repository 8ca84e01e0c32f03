"""Where the Optuna study is: a file of the sweep, or a database that a team shares, by its URL.

A URL may hold a password, so nothing shows or keeps it but as ``shown`` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaray.algorithms.errors import InputError
from metaray.platform.common.errors import first_line
from metaray.platform.run.sweep_directory import SweepDirectory

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy.engine import URL

# One driver each, not SQLAlchemy's default, and the extra of metaray that brings it
_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
_FORM = "postgresql://user:password@host/database, or mysql://..."


def shown(url: str) -> str:
    """``url`` without its password and its options, among which there may be another.

    Raises:
        InputError: it is no URL of a database.
    """
    return _parse(url).set(query={}).render_as_string(hide_password=True)


def check_not_shown(url: str, address: str, command: list[str]) -> None:
    """Refuse a password on the command line of a sweep that joins a cluster.

    Raises:
        InputError: Ray would show it to every user of the cluster, in its list of jobs.
    """
    if address != "local" and shown(url) != url and any(url in part for part in command):
        raise InputError(
            "Ray shows command lines to all users of a cluster, and that of --storage may hold a "
            "password: give the URL in the environment variable METARAY_STORAGE instead"
        )


def open_storage(url: str | None, folder: SweepDirectory) -> RDBStorage:
    """The database at ``url``, or the SQLite file of ``folder``.

    Raises:
        InputError: its driver is missing, or it cannot be reached.
    """
    import optuna
    from sqlalchemy.exc import NoSuchModuleError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parsed = _parse(url or f"sqlite:///{folder.study}")
    if parsed.drivername in _DRIVERS:
        parsed = parsed.set(drivername=f"{parsed.drivername}+{_DRIVERS[parsed.drivername]}")
    place = shown(url) if url else folder.study
    try:
        return optuna.storages.RDBStorage(
            parsed.render_as_string(hide_password=False),
            engine_kwargs={"pool_pre_ping": True},  # long trials outlive idle connections
        )
    except ImportError:
        kind = parsed.get_backend_name()
        how = f": write {kind}://... and pip install 'metaray[{kind}]'" if kind in _DRIVERS else ""
        raise InputError(f"the driver for the storage {place} is not installed{how}") from None
    except NoSuchModuleError:
        raise InputError(f"the storage {place} is of no known kind: use {_FORM}") from None
    except Exception as error:  # each driver raises other errors
        text = error_text(error)
        if parsed.password:  # no driver should cite it, and none may
            text = text.replace(str(parsed.password), "***")
        raise InputError(
            f"cannot use the storage {place} ({text}): check that it runs, and its address, "
            "database, user and password"
        ) from None


def _parse(url: str) -> URL:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # which may cite a part of the password
        parsed = None
    if parsed is None or "@" in (parsed.host or ""):
        raise InputError(
            f"--storage takes a URL such as {_FORM}; in a password, write @ as %40, : as %3A and "
            "/ as %2F"
        )
    return parsed


def error_text(error: BaseException) -> str:
    """The driver's own words, a line, without what SQLAlchemy and Optuna put around them."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)
