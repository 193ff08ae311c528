"""What the requests need, made in Django: `python -m tests.benchmarks.records 32` prints it as JSON.

It also counts the queries of each request, by sending it once inside this process.
"""

import json
import sys

import django


def main(clients: int) -> None:
    """Print the callers and the queries of each of their requests."""
    from tests.benchmarks import preparation  # noqa: PLC0415 - Django is set up first

    print(json.dumps(preparation.prepare(clients)))  # noqa: T201 - read by who started it


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]))
