"""Bars for people who look before they read: SVG by pygal, in the colours of the page's own style sheet.

What pygal puts into a picture that stands alone (styles, a script, tooltips) is taken out: the pages' policy
forbids it. Beside every chart stands a table with the same figures.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pygal
from django.utils.safestring import SafeString, mark_safe

# It would look for maps, which come as plugins, in a way that Python 3.11 warns of at every import after it.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

_WIDTH = 340
_ROW, _FRAME = 30, 12
_LABEL = 24
"""Letters of a label; the table has the rest."""

_STANDS_ALONE = frozenset({"style", "script", "desc", "title"})
_FONT = pygal.style.Style(label_font_size=13, major_label_font_size=13, value_font_size=13)
_ROOM = 1.3
"""How much longer than the longest bar the axis is, so that its figure has room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One figure."""

    label: str
    value: float
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One picture, with its heading."""

    title: str
    svg: SafeString


def of(name: str, title: str, bars: Sequence[Bar]) -> Chart | None:
    """Draw figures above each other, the first at the top; `name` is the picture's own on its page.

    Nothing is drawn of no figures.
    """
    if not bars:
        return None
    chart = pygal.HorizontalBar(
        style=_FONT,
        width=_WIDTH,
        height=_ROW * len(bars) + _FRAME,
        margin=_FRAME // 2,
        range=(0, _ROOM * max(*(bar.value for bar in bars), 0.0) or 1),
        js=(),
        no_prefix=True,
        show_legend=False,
        show_x_labels=False,
        show_y_guides=False,
        show_x_guides=False,
        print_values=True,
        print_values_position="top",
        truncate_label=_LABEL,
        disable_xml_declaration=True,
    )
    upwards = list(reversed(bars))
    chart.x_labels = [bar.label for bar in upwards]
    chart.add(title, [{"value": bar.value, "formatter": _constant(bar.shown)} for bar in upwards])
    told = "; ".join(f"{bar.label}: {bar.shown}" for bar in bars)
    chart.add_xml_filter(lambda root: _part_of_page(root, name=name, title=title, told=told))
    return Chart(title=title, svg=mark_safe(chart.render(is_unicode=True)))  # noqa: S308 - escaped by the XML writer


def _constant(text: str) -> Any:
    return lambda _: text


def _part_of_page(root: Any, *, name: str, title: str, told: str) -> Any:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in _STANDS_ALONE or not isinstance(child.tag, str) or "style" in child.attrib:
                parent.remove(child)
    root.attrib.pop("id", None)
    root.attrib.update({"class": "chart", "role": "img", "aria-labelledby": f"{name}-title {name}-told"})
    for tag, text in (("desc", told), ("title", title)):
        element = root.makeelement(tag, {"id": f"{name}-{'told' if tag == 'desc' else tag}"})
        element.text = text
        root.insert(0, element)
    return root
