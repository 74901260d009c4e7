"""The children of the stories: their names, and the pronouns that go with them."""

from __future__ import annotations

from typing import NamedTuple

GIRLS = tuple(
    (
        "Mia Nora Lotta Emma Zoe Clara Ida Greta Hannah Leah Maya Nina Olga Paula Rita Sara Tilda "
        "Una Vera Wanda Yara Anna Bella Cora Dina Elsa Flora Hilda Ines Jana Kira Lena "
    ).split()
)
BOYS = tuple(
    (
        "Ben Tom Leo Max Finn Oscar Jack Theo Felix Hugo Ivan Karl Luca Milo Noah Otto Paul Rafi "
        "Sam Timo Ugo Victor Will Yusuf Adam Boris Colin David Emil Fred Gabriel Henry "
    ).split()
)

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
GENDER = dict.fromkeys(GIRLS, 0) | dict.fromkeys(BOYS, 1)


class Cast(NamedTuple):
    """Who is in a story, and what they carry."""

    hero: str
    friend: str
    keepsake: str

    def word(self, slot: str) -> str | None:
        """What stands in a slot that belongs to the hero or the friend; None for other slots."""
        base = slot.lower()
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
