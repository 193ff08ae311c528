"""Reads the catalogue of models: the settings' entries, and the admin's rows instead of those they name."""

from mandate import conf, models
from shared_schemas.tools import GrantedModel
from shared_schemas.usage import Price


def entries() -> dict[str, conf.ModelEntry]:
    """Return all models by name, those that are switched off too; empty where nobody keeps a catalogue."""
    return conf.settings().models | {row.name: _entry(row) for row in models.CatalogueModel.objects.all()}


def prices() -> dict[str, Price]:
    """Return what each model costs, as far as that is known."""
    known = {name: entry.price for name, entry in entries().items() if entry.price is not None}
    return conf.settings().model_prices | known


def granted(model: str) -> list[GrantedModel] | None:
    """Return what a run of a model may ask: that one and its fallback; nothing where there is no catalogue."""
    kept = entries()
    if not kept:
        return None
    known = {name: entry for name, entry in kept.items() if entry.enabled}
    names = [model, known[model].fallback] if model in known else []
    return [
        GrantedModel(
            name=name,
            provider=known[name].provider,
            base_url=known[name].base_url or None,
            use_responses_api=known[name].use_responses_api,
            fallback=known[name].fallback if known[name].fallback in known else None,
        )
        for name in names
        if name in known
    ]


def _entry(row: models.CatalogueModel) -> conf.ModelEntry:
    price = None
    if row.input_price is not None and row.output_price is not None:
        price = Price(input=row.input_price, output=row.output_price)
    return conf.ModelEntry(
        provider=row.provider,
        price=price,
        base_url=row.base_url,
        use_responses_api=row.use_responses_api,
        fallback=row.fallback,
        enabled=row.enabled,
    )
