#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Spreads the jobs of a tuning plan over a Ray cluster and joins the results.

  lfmc tune MODEL --quant q4 --target x86-64-v3 --plan plan.jsonl
  tools/tune_on_ray.py plan.jsonl -o results.jsonl --resource zen5 -- --budget 2m
  lfmc tune --import results.jsonl

A job takes one unit of the custom resource, so nodes start with what they are
or have: ray start --address=… --resources='{"zen5": 1}'. What follows `--` goes
to lfmc tune. A job whose worker dies runs again, elsewhere if need be; results
of finished jobs are kept in the folder -o.parts and found again by a second
run. Exits with 1 if a job failed for good; the others' results are written."""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile


def run_job(lfmc, plan, number, arguments):
    """Runs on a worker: returns the results as text, or raises."""
    with tempfile.TemporaryDirectory() as folder:
        plan_file = os.path.join(folder, "plan.jsonl")
        output = os.path.join(folder, "results.jsonl")
        pathlib.Path(plan_file).write_text(plan)
        done = subprocess.run(
            [lfmc, "tune", "--job", f"{plan_file}:{number}", "-o", output, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"job {number}: lfmc tune failed with "
                               f"{done.returncode}: {done.stderr.strip()}")
        return pathlib.Path(output).read_text()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("plan")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--resource", help="custom resource that a job takes one of")
    parser.add_argument("--address", help="of the cluster (found, or a local one)")
    parser.add_argument("--lfmc", default="lfmc", help="program, on the workers")
    parser.add_argument("--retries", type=int, default=3, help="of a job whose worker died")
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:end])
    arguments = words[end + 1:]  # for lfmc tune
    import ray  # pylint: disable=import-outside-toplevel

    plan = pathlib.Path(options.plan).read_text()
    count = len([line for line in plan.splitlines() if line.strip()])
    parts = pathlib.Path(options.output + ".parts")
    parts.mkdir(exist_ok=True)
    ray.init(address=options.address, log_to_driver=False)
    resources = {options.resource: 1} if options.resource else {}
    task = ray.remote(max_retries=options.retries, num_cpus=1, resources=resources)(run_job)
    waiting = {}
    for number in range(1, count + 1):
        if not (parts / f"{number}.jsonl").exists():
            waiting[task.remote(options.lfmc, plan, number, arguments)] = number
    print(f"{count} jobs, {count - len(waiting)} done before", flush=True)
    failed = 0
    while waiting:
        ready, _ = ray.wait(list(waiting), num_returns=1)
        number = waiting.pop(ready[0])
        try:
            text = ray.get(ready[0])
        except Exception as error:  # of the job, or of the cluster
            print(f"tune_on_ray: error: {str(error).strip().splitlines()[-1]}",
                  file=sys.stderr)
            failed += 1
            continue
        unfinished = parts / f"{number}.unfinished"
        unfinished.write_text(text)
        unfinished.rename(parts / f"{number}.jsonl")
        print(f"job {number} done, {len(waiting)} left", flush=True)
    joined = "".join((parts / f"{n}.jsonl").read_text() for n in range(1, count + 1)
                     if (parts / f"{n}.jsonl").exists())
    pathlib.Path(options.output).write_text(joined)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
