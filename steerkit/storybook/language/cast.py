"""The children of a story: their names, and the pronouns that go with them."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from steerkit.storybook.language.tables import tables

# A slot of the hero -> what it is for a girl, and for a boy.
PRONOUNS = {
    "she": ("she", "he"),
    "her": ("her", "his"),
    "her*": ("her", "him"),
    "hers": ("hers", "his"),
    "herself": ("herself", "himself"),
    "girl": ("girl", "boy"),
}
# A slot of the friend -> the slot of the hero with the same words.
FRIEND_PRONOUNS = {
    "he": "she",
    "his": "her",
    "him": "her*",
    "himself": "herself",
    "boy": "girl",
}


@cache
def genders() -> dict[str, int]:
    """Every name, and 0 for a girl's, 1 for a boy's."""
    words = tables().words
    return dict.fromkeys(words["girls"], 0) | dict.fromkeys(words["boys"], 1)


class Cast(NamedTuple):
    """Who is in a story, and what the hero carries."""

    hero: str
    friend: str
    keepsake: str

    def word(self, slot: str) -> str | None:
        """What stands in a slot that belongs to the hero or the friend; None for other slots."""
        base = slot.lower()
        if base in PRONOUNS:
            return PRONOUNS[base][genders()[self.hero]]
        if base in FRIEND_PRONOUNS:
            return PRONOUNS[FRIEND_PRONOUNS[base]][genders()[self.friend]]
        words = {
            "Mia": self.hero,
            "Mia!": self.hero,
            "Mia's": f"{self.hero}'s",
            "Ben": self.friend,
            "Ben's": f"{self.friend}'s",
            "keepsake": self.keepsake,
        }
        return words.get(slot)
