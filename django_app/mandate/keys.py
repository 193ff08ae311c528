"""Makes the keys of a new installation; needs no settings, which could not be read without them.

python -m mandate.keys
"""

import secrets

from shared_schemas import keys


def environment() -> dict[str, str]:
    """Return environment variables for a new installation of Django, and the one that the other side needs."""
    signing = keys.generate()
    return {
        "DJANGO_SECRET_KEY": secrets.token_urlsafe(50),
        "MANDATE_SIGNING_KEY": signing,
        "AGENT_TRUSTED_KEYS": keys.parse_signing(signing).public_text(),
    }


def describe() -> str:
    """Return the variables as lines of an environment file."""
    made = environment()
    trusted = made.pop("AGENT_TRUSTED_KEYS")
    return "\n".join(
        [
            "# For Django, and for nobody else:",
            *(f"{name}={value}" for name, value in made.items()),
            "# For the agent service, so that it believes Django:",
            f"AGENT_TRUSTED_KEYS={trusted}",
        ]
    )


if __name__ == "__main__":
    print(describe())  # noqa: T201 - the output
