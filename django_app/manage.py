#!/usr/bin/env python
"""Django's command line for this project."""

import os
import sys

from django.core.management import execute_from_command_line

from mandate import keys

if __name__ == "__main__":
    if sys.argv[1:] == ["mandate_keys"]:
        # There are no settings to load before there are keys.
        print(keys.describe())  # noqa: T201 - the output
        sys.exit()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    execute_from_command_line(sys.argv)
