"""What people changed of a text, marked."""

from dataclasses import dataclass

from mandate.services import drafts


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some text, and whether the other version has it too."""

    text: str
    shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two versions of a text, each with what the other has not."""

    before: tuple[Piece, ...]
    after: tuple[Piece, ...]

    @property
    def is_none(self) -> bool:
        return all(piece.shared for piece in (*self.before, *self.after))


def of(before: str, after: str) -> Difference:
    """Compare two versions, word by word."""
    pairs = [(old, new, old == new) for old, new in drafts.aligned(before, after)]
    return Difference(
        before=tuple(Piece(text=old, shared=shared) for old, _, shared in pairs if old),
        after=tuple(Piece(text=new, shared=shared) for _, new, shared in pairs if new),
    )
