"""Runs a program beside a Ray cluster of two nodes on this machine:

python -m tests.ray_cluster PROGRAM ARGUMENT ...

Exits with NO_CLUSTER where Ray cannot start its nodes.
"""

import os
import runpy
import sys
from threading import Timer
from typing import Any

import ray
from ray.cluster_utils import Cluster

NO_CLUSTER = 77
SECONDS = 240  # in which the nodes have started, or do not

if __name__ == "__main__":
    node: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 10**8, "include_dashboard": False}
    late = Timer(SECONDS, os._exit, [NO_CLUSTER])  # a node that never answers is waited for
    late.start()
    try:
        cluster = Cluster(initialize_head=True, head_node_args=node)
        cluster.add_node(**{name: node[name] for name in ("num_cpus", "object_store_memory")})
    except Exception as error:  # Ray has many, of what a machine does not allow
        print(error, file=sys.stderr)
        sys.exit(NO_CLUSTER)
    finally:
        late.cancel()
    os.environ["RAY_ADDRESS"] = cluster.address
    sys.argv = sys.argv[1:]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        ray.shutdown()
        cluster.shutdown()
