"""The record of one human-designed blueprint; the blueprints themselves stand in the files beside it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HumanBlueprint:
    """A known module as a program.

    Attributes:
        name: lower-case identifier.
        family: what kind of module it is.
        paper: where it comes from, and in which way the program differs from it.
        program: its tokens, space-separated.
    """

    name: str
    family: str
    paper: str
    program: str

    @property
    def tokens(self) -> tuple[str, ...]:
        """The program as a token tuple."""
        return tuple(self.program.split())
