"""The children of the stories: their names, and the pronouns that go with them."""

from __future__ import annotations

from typing import NamedTuple

GIRLS = (
    "Mia Nora Lily-Ann Emma Zoe Clara Ida Greta Hannah Leah Maya Nina Olga Paula Rita Sara Tilda "
    "Una Vera Wanda Yara Anna Bella Cora Dina Elsa Flora Hilda Ines Jana Kira Lena"
).replace("Lily-Ann", "Lotta").split()
BOYS = (
    "Ben Tom Leo Max Finn Oscar Jack Theo Felix Hugo Ivan Karl Luca Milo Noah Otto Paul Rafi Sam "
    "Timo Ugo Victor Will Yusuf Adam Boris Colin David Emil Fred Gabriel Henry"
).split()

# slot of the hero -> (girl, boy); the friend's slots are the same words seen from Ben's side.
PRONOUNS = {
    "she": ("she", "he"),
    "her": ("her", "his"),
    "her*": ("her", "him"),
    "hers": ("hers", "his"),
    "herself": ("herself", "himself"),
    "girl": ("girl", "boy"),
}
FRIEND_PRONOUNS = {
    "he": "she",
    "his": "her",
    "him": "her*",
    "himself": "herself",
    "boy": "girl",
}
GENDER = {name: 0 for name in GIRLS} | {name: 1 for name in BOYS}


class Cast(NamedTuple):
    """Who is in a story, and what they carry."""

    hero: str
    friend: str
    keepsake: str

    def word(self, slot: str) -> str | None:
        """What stands in a slot that belongs to the hero or the friend; None for other slots."""
        base = slot.lower() if slot not in ("Mia", "Ben") else slot
        if base in PRONOUNS:
            return PRONOUNS[base][GENDER[self.hero]]
        if base in FRIEND_PRONOUNS:
            return PRONOUNS[FRIEND_PRONOUNS[base]][GENDER[self.friend]]
        return {
            "Mia": self.hero,
            "Mia!": self.hero,
            "Mia's": f"{self.hero}'s",
            "Ben": self.friend,
            "Ben's": f"{self.friend}'s",
            "keepsake": self.keepsake,
        }.get(slot)
