#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/tune_on_ray.py on a local cluster of two nodes, one of which has the
device and is killed once. usage: tune_on_ray_test.py LFMC SCRIPT PYTHON: the
interpreter that has ray, which scripts/test installs. Exits with 77 (skipped)
where it is missing."""
import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import ray
    from ray.cluster_utils import Cluster
except ImportError:
    if os.path.exists(sys.argv[3]) and os.path.abspath(sys.executable) != os.path.abspath(sys.argv[3]):
        os.execv(sys.argv[3], [sys.argv[3], *sys.argv])
    print("SKIPPED: ray is not installed: scripts/setup tests")
    sys.exit(77)


def main():
    lfmc, script = map(os.path.abspath, sys.argv[1:3])
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        environment = dict(os.environ, LFMC_CACHE_DIR=str(place / "cache"))
        os.environ["LFMC_CACHE_DIR"] = str(place / "cache")
        plan = place / "plan.jsonl"
        plan.write_text("".join(
            f'{{"kernel": "linear n={n} k=64 f32", "target": "x86-64-v2", "share": [0.5, 0.5]}}\n'
            for n in (128, 256, 384)))
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        cluster.add_node(num_cpus=1, resources={"board": 1})
        mark = place / "killed"
        # The first job on the board kills its worker: nothing but it is lost.
        wrapper = place / "lfmc"
        wrapper.write_text(f"#!/bin/sh\nif mkdir {mark} 2>/dev/null; then kill -9 $PPID; "
                           f"sleep 5; fi\nexec {lfmc} \"$@\"\n")
        wrapper.chmod(0o755)
        results = place / "results.jsonl"
        done = subprocess.run(
            [sys.executable, script, str(plan), "-o", str(results), "--resource", "board",
             "--address", cluster.address, "--lfmc", str(wrapper), "--",
             "--budget", "20s", "--most", "2", "--seconds", "0.02", "--tokens", "16"],
            env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=300, check=False)
        print(done.stdout)
        ray.shutdown()
        cluster.shutdown()
        assert done.returncode == 0, done.returncode
        assert mark.exists(), "no worker was killed"
        text = results.read_text()
        for n in (128, 256, 384):
            assert f"linear n={n} k=64 f32" in text, n
        merged = subprocess.run(
            [lfmc, "tune", "--database", str(place / "db"), "--import", str(results)],
            env=environment, text=True, stdout=subprocess.PIPE, check=True)
        print(merged.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
