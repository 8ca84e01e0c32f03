"""A folder in a file system of pyarrow: S3, Google Cloud Storage, or a disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from metaray.algorithms.errors import InputError
from metaray.platform.common.errors import TrainingError, first_line

_SCHEMES = ("s3", "gs", "file")
_CONNECT_S, _REQUEST_S, _PATIENCE = 10, 60, timedelta(seconds=60)
_HELP = "give s3://BUCKET/PATH, gs://BUCKET/PATH, file:///PATH or a local folder"


class StorageError(TrainingError):
    """The storage cannot be used now; the sentence says why and what to do."""


def is_uri(place: str) -> bool:
    """Whether ``place`` is a URI and no path."""
    return "://" in place


@dataclass(frozen=True)
class RemoteDirectory:
    """One folder there. A file appears when it is complete."""

    uri: str
    filesystem: Any
    root: str
    """of the folder, as the file system names it"""

    @classmethod
    def open(cls, uri: str) -> RemoteDirectory:
        """The folder that ``uri`` names, which need not be there; its bucket must.

        Credentials are those of the environment, as the tools of each storage find them.

        Raises:
            InputError: no such scheme or bucket, no permission, no network, or credentials in
                the URI, where they would be shown and kept.
        """
        try:
            parts = urlsplit(uri)
        except ValueError as error:
            raise InputError(f"a URI of a storage cannot be read ({error}): {_HELP}") from None
        if "@" not in parts.netloc and parts.scheme not in _SCHEMES:
            raise InputError(f"{uri} is in no storage that metaray knows: {_HELP}")
        if "@" in parts.netloc:
            raise InputError(
                f"a {parts.scheme} URI with a user or password would be shown and kept: leave them "
                "to the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile)"
            )
        root = (parts.netloc + parts.path).rstrip("/")
        if not root or bool(parts.netloc) == (parts.scheme == "file"):
            raise InputError(f"{uri} names no folder: {_HELP}")
        with _sentences(uri):
            place = cls(uri.rstrip("/"), _filesystem(parts), root)
            place._check_bucket(parts)
        return place

    def files(self) -> dict[str, int]:
        """Sizes in bytes by relative path, less hidden files; empty when there is no folder.

        Raises:
            StorageError: it does not answer, or a name there would leave the folder.
        """
        from pyarrow.fs import FileSelector, FileType

        with _sentences(self.uri, StorageError):
            found = self.filesystem.get_file_info(
                FileSelector(self.root, allow_not_found=True, recursive=True)
            )
        sizes = {}
        for info in found:
            name = info.path.removeprefix(f"{self.root}/")
            parts = name.split("/")
            if ".." in parts or "" in parts or "\\" in name:
                raise StorageError(f"{self.uri} holds {name!r}, which is no name of a run's file")
            if info.type == FileType.File and not parts[-1].startswith("."):
                sizes[name] = info.size
        return sizes

    def write(self, name: str, content: bytes) -> None:
        """Replace the file ``name``; StorageError when it could not be done."""
        path = f"{self.root}/{name}"
        with _sentences(self.uri, StorageError):
            if self._is_disk:
                self.filesystem.create_dir(str(Path(path).parent), recursive=True)
            target = f"{path}.part" if self._is_disk else path  # an object appears when it is whole
            with self.filesystem.open_output_stream(target) as stream:
                stream.write(content)
            if self._is_disk:
                self.filesystem.move(target, path)

    def read_to(self, name: str, target: Path) -> None:
        """Copy the file ``name`` to ``target``; StorageError when it could not be done."""
        with (
            _sentences(self.uri, StorageError),
            self.filesystem.open_input_stream(f"{self.root}/{name}") as stream,
            target.open("wb") as file,
        ):
            while block := stream.read(1 << 22):
                file.write(block)

    def delete(self, name: str) -> None:
        """Remove the file ``name``; StorageError when it could not be done."""
        with _sentences(self.uri, StorageError):
            self.filesystem.delete_file(f"{self.root}/{name}")

    def check_writable(self) -> None:
        """Raise InputError unless files can be made there; a hidden one stays."""
        with _sentences(self.uri):
            try:
                self.write(".metaray", b"a run of metaray\n")
            except StorageError as error:
                raise InputError(str(error)) from error

    @property
    def _is_disk(self) -> bool:
        return bool(self.filesystem.type_name == "local")

    def _check_bucket(self, parts: SplitResult) -> None:
        from pyarrow.fs import FileType

        if self._is_disk:
            return
        if self.filesystem.get_file_info(parts.netloc).type == FileType.NotFound:
            raise InputError(
                f"there is no bucket {parts.netloc}: make it, or correct {self.uri}; metaray makes "
                "none, as buckets have owners and rules"
            )


def _filesystem(parts: SplitResult) -> Any:
    from pyarrow import fs

    if parts.scheme == "file":
        return fs.LocalFileSystem()
    if parts.scheme == "gs":
        return fs.GcsFileSystem(retry_time_limit=_PATIENCE)
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    if unknown := options.keys() - {"region", "endpoint_override", "scheme"}:
        raise InputError(
            f"{sorted(unknown)[0]} cannot be said in the URI: region, endpoint_override and scheme "
            "can, all else is for the environment"
        )
    own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if own and "endpoint_override" not in options:
        options |= {"endpoint_override": urlsplit(own).netloc, "scheme": urlsplit(own).scheme}
    named = {"AWS_REGION", "AWS_DEFAULT_REGION"} & os.environ.keys()
    if "region" not in options and "endpoint_override" not in options and not named:
        options["region"] = fs.resolve_s3_region(parts.netloc)
    return fs.S3FileSystem(connect_timeout=_CONNECT_S, request_timeout=_REQUEST_S, **options)


_REASONS = (
    (
        ("ACCESS_DENIED", "FORBIDDEN", "HTTP status 403", "Permission denied", "PERMISSION_DENIED"),
        "these credentials may not do that: check who you are and what the bucket allows",
    ),
    (
        ("INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "InvalidAccessKeyId", "EXPIRED"),
        "it does not accept the credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
        "log in again",
    ),
    (
        ("NO_SUCH_BUCKET", "NoSuchBucket", "bucket does not exist", "Bucket '"),
        "there is no such bucket: make it, or correct the URI",
    ),
    (
        ("NETWORK_CONNECTION", "curlCode", "Couldn't resolve", "Could not connect", "UNAVAILABLE"),
        "it cannot be reached: check the network, and AWS_ENDPOINT_URL if it is a server of "
        "your own",
    ),
)


@contextmanager
def _sentences(uri: str, kind: type[Exception] = InputError) -> Iterator[None]:
    """What pyarrow raises, as ``kind`` with a sentence."""
    try:
        yield
    except OSError as error:
        text = str(error)
        for signs, sentence in _REASONS:
            if any(sign in text for sign in signs):
                raise kind(f"cannot use {uri}: {sentence}") from error
        raise kind(f"cannot use {uri} ({first_line(error)}): correct it and try again") from error
