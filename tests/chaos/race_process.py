"""Holds Django's races on the database that its environment names; prints each verdict as a line of JSON."""

# ruff: noqa: T201 - the lines are its answer

import json
import sys

import django
from django.core.management import call_command


def main(trials: int, seed: int) -> None:
    django.setup()
    from tests.chaos import races  # noqa: PLC0415 - Django must be set up first

    call_command("migrate", verbosity=0)
    for race in races.RACES:
        print(json.dumps(races.hold(race, trials=trials, seed=seed).as_json()), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
