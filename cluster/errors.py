"""Errors of reaching a cluster."""


class ClusterError(RuntimeError):
    """The cluster cannot be reached or used; one sentence says why and what to do."""
