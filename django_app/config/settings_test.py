"""Settings for tests and type checks: keys made up on the spot, everything else as it is served."""

import os

from shared_schemas import keys

# In the environment, so that processes a test starts believe the same key.
_agent_key = os.environ.setdefault("TEST_AGENT_SIGNING_KEY", keys.generate())

os.environ.setdefault("DJANGO_SECRET_KEY", "for tests only " * 5)
os.environ.setdefault("DATABASE_URL", "postgresql://postgres@localhost/mandate")
os.environ.setdefault("MANDATE_SIGNING_KEY", keys.generate())
os.environ.setdefault("MANDATE_TRUSTED_KEYS", keys.parse_signing(_agent_key).public_text())
os.environ.setdefault("MANDATE_AGENT_URL", "http://127.0.0.1:8123")

from config.settings import *  # noqa: E402, F403 - the environment comes first

AGENT_SIGNING_KEY = _agent_key
"""The private key behind `MANDATE_TRUSTED_KEYS`, for tests that call Django as the agent service."""

WHITENOISE_AUTOREFRESH = True  # no static files were collected
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES["default"]["OPTIONS"].pop("pool", None)  # noqa: F405 - each test's connection is its own
