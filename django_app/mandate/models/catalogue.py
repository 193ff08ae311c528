"""The models that runs may name, as people keep them in the admin."""

from django.db import models


class CatalogueModel(models.Model):
    """One model; it stands before the entry of the same name in `MANDATE["MODELS"]`."""

    class Provider(models.TextChoices):
        OPENAI = "openai", "OpenAI"
        ANTHROPIC = "anthropic", "Anthropic"
        GOOGLE = "google", "Google"

    name = models.CharField(max_length=100, unique=True)
    """What a run names; the provider, or the proxy, is asked for it by this name."""

    provider = models.CharField(max_length=20, choices=Provider.choices)
    input_price = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    """Of a million tokens."""

    output_price = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    base_url = models.URLField(blank=True)
    """Where it is asked instead of at its provider; the agent service must allow the address."""

    use_responses_api = models.BooleanField("use the Responses API", default=False)
    """Of OpenAI's two formats the newer one is spoken; a proxy must know it."""

    fallback = models.CharField(max_length=100, blank=True)
    """Another model of the catalogue, for what this one cannot do, in graphs that ask for one."""

    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ("provider", "name")
        verbose_name = "model of the catalogue"
        verbose_name_plural = "catalogue of models"
        constraints = (
            models.CheckConstraint(
                name="mandate_catalogue_both_prices",
                condition=models.Q(input_price__isnull=True, output_price__isnull=True)
                | models.Q(
                    input_price__isnull=False,
                    output_price__isnull=False,
                    input_price__gte=0,
                    output_price__gte=0,
                ),
            ),
            models.CheckConstraint(
                name="mandate_catalogue_responses_api",
                condition=models.Q(use_responses_api=False) | models.Q(provider="openai"),
                violation_error_message="Only OpenAI's format has a Responses API.",
            ),
        )

    def __str__(self) -> str:
        return self.name
