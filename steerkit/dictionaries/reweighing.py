"""Re-weighing a whole dictionary: every feature by a score, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from typing_extensions import override

from steerkit.dictionaries.reconstruction import Reconstruction, Varying, in_parts
from steerkit.errors import EditError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.dictionaries.dictionary import Dictionary

HOW = ("swap", "weight")


@dataclass(eq=False)
class Reweighed:
    """From an activation to what re-weighing its features changes, as tensors and nothing else.

    Attributes:
        reconstruction: The dictionary.
        scores: (n_features,) what each feature's pre-activation is multiplied by.
        how: `weight`: features take the activations that come of it. `swap`: those that are active then take their
            activations without scores.
        as_published: Make the whole activation anew, in place of the difference; for `weight` undo a normalisation by
            the mean score and its square, as the published code does.
        followed: Features whose change is handed out, as edits of theirs act on it.
    """

    reconstruction: Reconstruction
    scores: Float[Tensor, " n_features"]
    how: str
    as_published: bool
    followed: tuple[int, ...] = ()

    @property
    def b_dec(self) -> Float[Tensor, " d_out"]:
        """The dictionary's bias."""
        return self.reconstruction.b_dec

    def read(
        self, x: Float[Tensor, "*tokens d_in"]
    ) -> tuple[Float[Tensor, "*tokens d_out"], Float[Tensor, "*tokens followed"]]:
        """What re-weighing changes where the dictionary writes, or as published, what it puts there; in float32.

        And what the activations of the features that are followed change by.
        """
        encoder, W_dec = self.reconstruction.encoder, self.reconstruction.W_dec
        normalised, scale, shift = encoder.normalise(x)

        def written(part: Tensor) -> Tensor:
            before, after = self.codes(part)
            codes = after if self.as_published else after - before
            return torch.cat([codes @ W_dec, (after - before)[:, list(self.followed)]], dim=-1)

        both = in_parts(written, normalised, len(W_dec))
        value, moved = both.split([W_dec.shape[1], len(self.followed)], dim=-1)
        if not self.as_published:
            return (value if scale is None else value * scale), moved
        if self.how == "weight":
            mean = self.scores.double().mean().float()
            scale, shift = (None if undone is None else by for undone, by in ((scale, mean**2), (shift, mean)))
        return self.reconstruction.finish(value, x, normalised, scale, shift), moved

    def codes(
        self, normalised: Float[Tensor, "*tokens d_in"]
    ) -> tuple[Float[Tensor, "*tokens n_features"], Float[Tensor, "*tokens n_features"]]:
        """Activations of all features, before and after."""
        encoder = self.reconstruction.encoder
        p, activation = encoder.preactivations(normalised), encoder.activation
        before, weighted = activation(p, slice(None)), activation.weighted(p, self.scores)
        return before, weighted if self.how == "weight" else torch.where(weighted != 0, activation.unselected(p), 0.0)

    def direction(
        self, read: Float[Tensor, "*tokens d_out"], x: Float[Tensor, "*tokens d_out"]
    ) -> Float[Tensor, "*tokens d_out"]:
        """What an edit writes once, where the activation is `x`."""
        return read - x if self.as_published else read

    def to(self, device: torch.device) -> Reweighed:
        """The same on a device."""
        if self.scores.device == device:
            return self
        return replace(self, reconstruction=self.reconstruction.to(device), scores=self.scores.to(device))


class Reweighing(Varying):
    """What re-weighing all features of a dictionary changes.

    An activation as it stands has none of it, so its coefficient is 0: `add(1)` writes it once, `add(0)` leaves the
    activation bit for bit as it is. What the dictionary does not explain stays, unless as published. Edits of features
    of the same dictionary act inside: on the activations that re-weighing leaves.

    Args:
        dictionary: The dictionary.
        scores: (n_features,) a score each.
        how: `swap` or `weight`; see `Reweighed`.
        by: Name of the scores, shown to people.
        as_published: See `Reweighed`.

    Raises:
        DictionaryError: The dictionary has no encoder, does not say where it belongs, or does not reconstruct.
        EditError: There is not one score a feature, or no such way to re-weigh.
    """

    standing = 0.0

    def __init__(
        self, dictionary: Dictionary, scores: Float[Tensor, " n_features"], how: str, by: str, *, as_published: bool
    ) -> None:
        if how not in HOW or len(scores) != dictionary.n_features:
            raise EditError(
                f"Features are re-weighed by {' or '.join(HOW)}, with a score for each of {dictionary.n_features}; got "
                f"{how!r} with {len(scores)}."
            )
        label = f"{how} by {by}{' (as published)' if as_published else ''}"
        self._reconstruction = dictionary.error_term.reconstruction
        super().__init__(dictionary, label, dictionary.reads_at(), dictionary.writes_at())
        self.scores, self.how, self.by, self.as_published = scores, how, by, as_published

    @property
    def rescales(self) -> bool:
        """Whether it undoes the dictionary's normalisation by other numbers than the token's."""
        return self.as_published and self.how == "weight" and self.dictionary.parts.normalisation != "none"

    @override
    def reader(self, features: Sequence[int]) -> Reweighed:
        return Reweighed(self._reconstruction, self.scores, self.how, self.as_published, tuple(features))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Reweighing)
            and other.label == self.label
            and other.dictionary == self.dictionary
            and torch.equal(other.scores, self.scores)
        )

    def __hash__(self) -> int:
        return hash((self.dictionary, self.label))
