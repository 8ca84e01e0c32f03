"""Where a replica of Ray Serve listens for other deployments: at its node's address alone."""

from __future__ import annotations

from typing import Any


def listen_at_node_alone() -> None:
    """Call it in a replica before it is ready.

    Ray Serve opens this port on all interfaces, and asks for no token there. It has no setting for
    it; where a version names the function in another way, there is nothing to be done.
    """
    import ray
    from ray.serve._private import replica

    original = getattr(replica, "add_port_to_grpc_server", None)
    if original is None:
        return
    found = ray.util.get_node_ip_address()
    node = f"[{found}]" if ":" in found else found

    def at_node(server: Any, address: str) -> Any:
        return original(server, address.replace("[::]", node))

    replica.add_port_to_grpc_server = at_node  # type: ignore[attr-defined]
