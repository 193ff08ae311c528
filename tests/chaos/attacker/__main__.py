"""Attacks whole: `python -m tests.chaos.attacker --sequences 2000 --graphs 200 --seed 7`.

Prints the figures of both scenarios, one JSON object on a line each; 1 if a promise was broken.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import pytest


def main() -> int:
    """Run this folder's tests, with so many sequences."""
    parser = argparse.ArgumentParser(prog="tests.chaos.attacker", description=__doc__)
    parser.add_argument("--sequences", type=int, default=2000, help="against the tool API")
    parser.add_argument("--graphs", type=int, default=100, help="through a graph, over HTTP")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.jsonl")
        report.touch()
        os.environ |= {
            "ATTACK_SEQUENCES": str(options.sequences),
            "ATTACK_GRAPHS": str(options.graphs),
            "ATTACK_SEED": str(options.seed),
            "ATTACK_REPORT": str(report),
        }
        quiet = ["-q", "-n", "0", "--timeout=1200", "--show-capture=no", "-p", "no:randomly"]
        failed = pytest.main([*quiet, str(Path(__file__).parent)])
        print(report.read_text(), end="")  # noqa: T201 - it talks to a person on a terminal
    return int(failed != pytest.ExitCode.OK)


if __name__ == "__main__":
    sys.exit(main())
