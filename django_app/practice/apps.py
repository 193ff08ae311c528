"""The example domain: lessons of a programming course and the practice tasks that go with them."""

from django.apps import AppConfig


class PracticeConfig(AppConfig):
    name = "practice"
    default_auto_field = "django.db.models.BigAutoField"
