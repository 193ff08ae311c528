"""Which events of the agent streaming protocol a subscription asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ANY_CUSTOM = "custom"
WATCHED = frozenset({"lifecycle", "input"})

_CHANNELS = {"input.requested": "input", "input.answered": "input"}
"""Of the methods that are not called like their channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Channels, and how deep below which namespaces."""

    channels: frozenset[str]
    namespaces: tuple[tuple[str, ...], ...] = ()
    """Prefixes; without any it is every namespace."""

    depth: int | None = None
    """How far below a prefix; `None` is however far."""

    @property
    def watches(self) -> bool:
        """Tell whether this only looks at what goes on: both clients keep such a stream open beside others."""
        return self.channels == WATCHED and not self.namespaces

    @property
    def reads_ends(self) -> bool:
        """Tell whether this reads how runs end among other things."""
        return "lifecycle" in self.channels and not self.channels <= WATCHED

    @property
    def has_custom(self) -> bool:
        return any(channel.partition(":")[0] == ANY_CUSTOM for channel in self.channels)

    def admits(self, method: str, namespace: Sequence[str], data: Any) -> bool:
        return self._has_channel(method, data) and self._reaches(namespace)

    def _has_channel(self, method: str, data: Any) -> bool:
        channel = _CHANNELS.get(method, method)
        if channel in self.channels:
            return True
        return method == ANY_CUSTOM and f"{ANY_CUSTOM}:{data.get('name')}" in self.channels

    def _reaches(self, namespace: Sequence[str]) -> bool:
        if not self.namespaces:
            return True
        return any(
            _begins_with(namespace, prefix)
            and (self.depth is None or len(namespace) - len(prefix) <= self.depth)
            for prefix in self.namespaces
        )


def _begins_with(namespace: Sequence[str], prefix: Sequence[str]) -> bool:
    """Compare segment by segment; a prefix may leave out the task's id behind a node's name."""
    if len(prefix) > len(namespace):
        return False
    # A wanted segment with an id never equals the name alone.
    return all(
        wanted in {segment, segment.partition(":")[0]}
        for wanted, segment in zip(prefix, namespace, strict=False)
    )
