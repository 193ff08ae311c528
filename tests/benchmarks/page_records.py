"""What the pages show, made in Django: `python -m tests.benchmarks.page_records 10000` prints it as JSON."""

import json
import sys

import django


def main(runs: int) -> None:
    """Print the readers, and the queries of each one's page."""
    from tests.benchmarks import page_preparation  # noqa: PLC0415 - Django is set up first

    print(json.dumps(page_preparation.prepare(runs)))  # noqa: T201 - read by who started it


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]))
