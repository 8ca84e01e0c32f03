"""``ray start`` that keeps a node on the loopback address, head or not.

Ray exchanges 127.0.0.1 for the address of the machine in the network, unless its clusters are
switched off (as on macOS), and then it refuses to let a second node join. This program, run as
``python -m metaray.cluster.loopback_node start ...``, has both: nodes that join, on loopback.
"""

from __future__ import annotations


def main() -> None:
    """Run Ray's own command line."""
    from ray._private import ray_constants, services
    from ray.scripts.scripts import cli

    ray_constants.ENABLE_RAY_CLUSTER = True
    services.get_node_ip_address = lambda address=None: "127.0.0.1"
    cli()


if __name__ == "__main__":
    main()
