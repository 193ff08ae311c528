"""The example domain: lessons of a programming course and the practice tasks that go with them."""

from django.apps import AppConfig

from mandate import signals


class PracticeConfig(AppConfig):
    name = "practice"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Begin the next steps of a chain when a run ends."""
        from practice import chains  # noqa: PLC0415 - models are there only now

        signals.run_ended.connect(chains.follow, dispatch_uid="practice.chains")
