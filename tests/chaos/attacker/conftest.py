import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from mandate import testing
from tests.chaos.attacker import oracle, world


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is tried: little in `make test`, thousands of sequences in `make chaos`."""

    sequences: int
    graphs: int
    seed: int


@pytest.fixture
def others(transactional_db):
    """Everybody else; from here on every change is noted."""
    with testing.temporary_tools():
        world.declare()
        made = world.make_others()
        oracle.install()
        yield made
        oracle.remove()


@pytest.fixture(scope="session")
def size():
    return Size(
        sequences=int(os.environ.get("ATTACK_SEQUENCES", "60")),
        graphs=int(os.environ.get("ATTACK_GRAPHS", "6")),
        seed=int(os.environ.get("ATTACK_SEED", "1")),
    )


@pytest.fixture
def report(size):
    """Adds a scenario's figures to the file that `ATTACK_REPORT` names."""

    def write(scenario, verdict, runs=size.sequences):
        if file := os.environ.get("ATTACK_REPORT"):
            kinds = Counter(fault.kind for fault in verdict.faults)
            figures = {"scenario": scenario, "runs": runs, "effects": verdict.effects, "seed": size.seed}
            figures |= {kind: kinds[kind] for kind in oracle.Kind} | {"seen": dict(verdict.seen)}
            with Path(file).open("a") as lines:
                lines.write(json.dumps(figures) + "\n")

    return write
