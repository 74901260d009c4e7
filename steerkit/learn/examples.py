"""Texts that have something and texts that have not: what directions are learned from."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from steerkit.errors import PromptError
from steerkit.tokens import Completion

if TYPE_CHECKING:
    from steerkit.model import Model
    from steerkit.tokens import TextLike

PERSONA = "{persona}"


@dataclass(frozen=True)
class Examples:
    """Texts that have what a direction is for, and texts that have not.

    Attributes:
        positives: Those that have it: text, token ids, chat messages, or a `Completion`.
        negatives: Those that have not.
        paired: Whether the two sides belong together one by one.

    Raises:
        PromptError: A side is empty or a single text, or pairs are not equally many.

    Example:
        >>> Examples(("She was glad.",), ("She was sad.",), paired=True)
        Examples(1 pair)
    """

    positives: tuple[TextLike, ...]
    negatives: tuple[TextLike, ...]
    paired: bool = False

    def __post_init__(self) -> None:
        for name in ("positives", "negatives"):
            object.__setattr__(self, name, _listed(getattr(self, name)))
        n, m = len(self.positives), len(self.negatives)
        if not n or not m:
            raise PromptError(f"There are {n} positive and {m} negative texts. Give at least one of each.")
        if self.paired and n != m:
            raise PromptError(f"There are {n} positive and {m} negative texts. Pairs need equally many.")

    @classmethod
    def of(cls, positives: Examples | Sequence[TextLike], negatives: Sequence[TextLike] | None = None) -> Examples:
        """Examples as they are, or two lists; lists of equal length are pairs.

        Raises:
            PromptError: The negatives are missing, or given twice; or a side is not as it should be.
        """
        if isinstance(positives, Examples):
            if negatives is not None:
                raise PromptError("The examples have negatives already. Leave the others away.")
            return positives
        if negatives is None:
            raise PromptError("The negatives are missing. Give two lists of texts, or `Examples`.")
        return cls(_listed(positives), _listed(negatives), paired=len(positives) == len(negatives))

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[TextLike, TextLike]]) -> Examples:
        """Pairs of a positive and a negative text.

        Raises:
            PromptError: There are none, or one is no pair.
        """
        listed = list(pairs)
        for pair in listed:
            if isinstance(pair, str | Mapping) or not isinstance(pair, Collection) or len(pair) != 2:
                raise PromptError(f"{pair!r} is no pair. Give pairs of a positive and a negative text.")
        return cls(tuple(one for one, _ in listed), tuple(other for _, other in listed), paired=True)

    @classmethod
    def from_labels(
        cls,
        texts: Sequence[TextLike],
        labels: Sequence[Hashable | Collection[Hashable]],
        positive: Hashable,
        negative: Hashable | None = None,
    ) -> Examples:
        """Labelled texts: those with one label, against those with another or all without it.

        Args:
            texts: The texts.
            labels: A label a text, or a list or set of labels. A text with both labels is left out.
            positive: The label of the positives.
            negative: The label of the negatives; None for all texts that are not positive.

        Raises:
            PromptError: Texts and labels are not equally many, or one of the sides is empty.

        Example:
            >>> Examples.from_labels(["Hooray!", "Oh no.", "Well."], ["joy", "sadness", "neutral"], "joy")
            Examples(1 positive, 2 negatives)
        """
        if len(texts) != len(labels):
            raise PromptError(f"There are {len(texts)} texts and {len(labels)} labels. Give one label a text.")
        sets = [frozenset(own if isinstance(own, list | tuple | set | frozenset) else [own]) for own in labels]
        has = [positive in own for own in sets]
        has_not = [positive not in own if negative is None else negative in own for own in sets]
        return cls(
            tuple(text for text, yes, no in zip(texts, has, has_not, strict=True) if yes and not no),
            tuple(text for text, yes, no in zip(texts, has, has_not, strict=True) if no and not yes),
        )

    @classmethod
    def from_templates(
        cls,
        templates: Sequence[str],
        positives: Sequence[str],
        negatives: Sequence[str],
        completions: Sequence[str],
        *,
        chat: bool = False,
    ) -> Examples:
        """Pairs from every template, every pair of personas and every completion.

        Args:
            templates: Texts with `{persona}` in them, such as `"Act as if you are {persona}. "`.
            positives: Personas of the positives.
            negatives: Personas of the negatives, one for each of the positives.
            completions: What follows a template: the same on both sides.
            chat: A filled template is a user's message, and the completion the assistant's answer. Else the completion
                stands right behind the template.

        Raises:
            PromptError: A template has no `{persona}`, personas are not equally many, or nothing is given.

        Source: Zou et al. (2023), "Representation Engineering", for the templates.

        Example:
            >>> Examples.from_templates(["Act {persona}. "], ["happy", "glad"], ["sad", "gloomy"], ["I", "We"])
            Examples(4 pairs)
        """
        for template in templates:
            if PERSONA not in template:
                raise PromptError(f"The template {template!r} has no {PERSONA}. Say where the persona stands.")
        if len(positives) != len(negatives):
            raise PromptError(
                f"There are {len(positives)} positive and {len(negatives)} negative personas. Give pairs of them."
            )
        pairs = []
        for template, personas, text in product(templates, zip(positives, negatives, strict=True), completions):
            filled = [template.replace(PERSONA, persona) for persona in personas]
            prompts = [[{"role": "user", "content": request}] for request in filled] if chat else filled
            pairs.append(tuple(Completion(prompt, text) for prompt in prompts))
        return cls.from_pairs(pairs)

    def encode(self, model: Model) -> Examples:
        """The same as tokens: each text is `Encoded` then.

        Raises:
            PromptError: A text does not fit the model, or stands on both sides.
        """
        positives, negatives = model.encode_all(self.positives), model.encode_all(self.negatives)
        both = {text.prompt.ids for text in positives} & {text.prompt.ids for text in negatives}
        if both:
            shared = next(text.prompt.text for text in positives if text.prompt.ids in both)
            raise PromptError(
                f"{len(both)} of the texts stand on both sides, such as {shared!r}. They tell nothing apart; take them "
                "out of one side."
            )
        return replace(self, positives=tuple(positives), negatives=tuple(negatives))

    def __len__(self) -> int:
        return len(self.positives) + len(self.negatives)

    def __repr__(self) -> str:
        n, m = len(self.positives), len(self.negatives)
        pairs = f"{n} pair{'s' * (n != 1)}"
        sides = f"{n} positive{'s' * (n != 1)}, {m} negative{'s' * (m != 1)}"
        return f"Examples({pairs if self.paired else sides})"


def _listed(texts: Sequence[TextLike]) -> tuple[TextLike, ...]:
    if isinstance(texts, str):
        raise PromptError(f"{texts!r} is one text where a list of texts belongs. Put it into brackets.")
    return tuple(texts)
