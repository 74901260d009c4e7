"""How soon the embedded model writes a steered token, and in how much memory, with the network refused.

Each round is a process of its own, after one that does not count, in which Python keeps steerkit's compiled modules.
The time runs from where torch is imported to the first steered token; the memory is the process's peak, torch included.

    python benchmarks/storybook_start.py
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

import pandas as pd

MOST_SECONDS, MOST_MEGABYTES = 2.5, 800

# Sockets are refused before anything else is imported, and for every way that Python has to open one.
START = """
import json, resource, sys, time

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise OSError("the network is refused")

sys.addaudithook(refuse)
import torch

start = time.perf_counter()
import steerkit as sk

model = sk.load()
rain = model.dictionary()["rain"]
run = model.generate("One day, Mia", [rain.add(0.4, unit="norm")], max_new_tokens=1)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
print(json.dumps({"seconds": seconds, "megabytes": peak, "new tokens": len(run.token_ids)}))
"""


def measure(rounds: int = 5) -> pd.DataFrame:
    """A row a round: `seconds` to the first steered token, `megabytes` at the peak, and `new tokens` (one).

    Raises:
        CalledProcessError: The process failed, such as for want of a network.
    """
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    rows = []
    for _ in range(1 + rounds):
        done = subprocess.run(
            [sys.executable, "-c", START], check=True, stdout=subprocess.PIPE, text=True, env=environment
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    return pd.DataFrame(rows[1:])


def main() -> None:
    """Print the figures and write them as CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", default="storybook_start.csv")
    options = parser.parse_args()
    frame = measure(options.rounds)
    frame.to_csv(options.output, index=False)
    print(frame.to_string(index=False, float_format="{:.2f}".format))
    print(f"\nmedian {frame.seconds.median():.2f} s to the first steered token (at most {MOST_SECONDS} are wanted)")
    print(f"peak memory {frame.megabytes.max():.0f} MiB (at most {MOST_MEGABYTES} are wanted); CSV in {options.output}")


if __name__ == "__main__":
    main()
