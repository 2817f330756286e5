"""Runs a program beside a Ray cluster of two nodes on this machine:

python -m tests.ray_cluster PROGRAM ARGUMENT ...
"""

import os
import runpy
import sys
from typing import Any

import ray
from ray.cluster_utils import Cluster

if __name__ == "__main__":
    node: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 10**8, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(**{name: node[name] for name in ("num_cpus", "object_store_memory")})
    os.environ["RAY_ADDRESS"] = cluster.address
    sys.argv = sys.argv[1:]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        ray.shutdown()
        cluster.shutdown()
