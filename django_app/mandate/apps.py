"""Where Django meets the app: keys are read and tools are found at start."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

from shared_schemas import crashing


class MandateConfig(AppConfig):
    name = "mandate"
    verbose_name = "Mandate"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from mandate import checks, conf  # noqa: F401, PLC0415 - models must be loaded first

        crashing.arm(conf.settings().crash_points)
        autodiscover_modules("agent_tools")
