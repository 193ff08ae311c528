"""The commands behind the Makefile."""

import argparse
import sys
from collections.abc import Callable

from stack import assembly, contracts, demo, postgres, processes, up

COMMANDS: dict[str, Callable[[], None]] = {
    "demo": demo.demo,
    "up": up.up,
    "down": up.down,
    "status": up.status,
    "clean": up.clean,
    "token": up.token,
    "contracts": contracts.write,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    command = parser.parse_args().command
    try:
        COMMANDS[command]()
    except (assembly.StackError, demo.DemoError, processes.ProcessError, postgres.PostgresError) as error:
        print(f"{command}: failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{command}: interrupted; everything that was started is stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
