"""What a whole dictionary makes of an activation, as tensors and nothing else; and what it leaves of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

import torch
from typing_extensions import override

from steerkit.dictionaries.encoder import Encoder
from steerkit.edits import Steerable
from steerkit.errors import VectorError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.sites import Site

# Bytes of dense feature activations that are held at once.
BUDGET = 64 * 2**20


@runtime_checkable
class Reader(Protocol):
    """What makes the direction of an edit out of an activation, as tensors and nothing else."""

    @property
    def b_dec(self) -> Float[Tensor, " d_out"]:
        """The dictionary's bias."""
        ...

    def read(
        self, x: Float[Tensor, "*tokens d_in"]
    ) -> tuple[Float[Tensor, "*tokens d_out"], Float[Tensor, "*tokens features"] | None]:
        """What comes of an activation where the dictionary reads, in float32; and what changes in some features."""
        ...

    def direction(
        self, read: Float[Tensor, "*tokens d_out"], x: Float[Tensor, "*tokens d_out"]
    ) -> Float[Tensor, "*tokens d_out"]:
        """What an edit writes once, where the activation is `x`."""
        ...

    def to(self, device: torch.device) -> Reader:
        """The same on a device."""
        ...


@dataclass(eq=False)
class Reconstruction:
    """From an activation to its reconstruction: encoded and decoded again.

    Attributes:
        b_dec: (d_out,) added when decoding; the whole reconstruction where there is no encoder.
        encoder: Reads all features; None for a constant.
        W_dec: (n_features, d_out) directions along which features are written.
        W_skip: (d_in, d_out) linear path past the features.
        keeps_mean: Whether the mean over dimensions, which a centred dictionary never saw, passes by it.
    """

    b_dec: Float[Tensor, " d_out"]
    encoder: Encoder | None = None
    W_dec: Float[Tensor, "n_features d_out"] | None = None
    W_skip: Float[Tensor, "d_in d_out"] | None = None
    keeps_mean: bool = False

    def read(self, x: Float[Tensor, "*tokens d_in"]) -> tuple[Float[Tensor, "*tokens d_out"], None]:
        """The reconstruction, in float32; and that no feature's activation is changed by it."""
        if self.encoder is None or self.W_dec is None:
            return self.b_dec.expand(*x.shape[:-1], -1), None
        normalised, scale, shift = self.encoder.normalise(x)
        made = in_parts(lambda part: self.encoder.activate(part) @ self.W_dec, normalised, len(self.W_dec))
        return self.finish(made, x, normalised, scale, shift), None

    def finish(
        self,
        made: Float[Tensor, "*tokens d_out"],
        x: Float[Tensor, "*tokens d_in"],
        normalised: Float[Tensor, "*tokens d_in"],
        scale: Float[Tensor, "*#tokens 1"] | Float[Tensor, ""] | None,
        shift: Float[Tensor, "*#tokens 1"] | Float[Tensor, ""] | None,
    ) -> Float[Tensor, "*tokens d_out"]:
        """What the features make together, with all that is added to it, back in the activation's own units."""
        y = made + self.b_dec
        if self.W_skip is not None:
            y = y + normalised @ self.W_skip
        if scale is not None:
            y = y * scale
        if shift is not None:
            y = y + shift
        return y + x.mean(-1, keepdim=True) if self.keeps_mean else y

    def direction(
        self, read: Float[Tensor, "*tokens d_out"], x: Float[Tensor, "*tokens d_out"]
    ) -> Float[Tensor, "*tokens d_out"]:
        """What an edit writes once, where the activation is `x`: the error term."""
        return x - read

    def to(self, device: torch.device) -> Reconstruction:
        """The same on a device."""
        if self.b_dec.device == device:
            return self
        parts = {name: getattr(self, name) for name in ("b_dec", "encoder", "W_dec", "W_skip")}
        return replace(self, **{name: part if part is None else part.to(device) for name, part in parts.items()})


def in_parts(
    make: Callable[[Tensor], Tensor], x: Float[Tensor, "*tokens d_in"], n_features: int
) -> Float[Tensor, "*tokens k"]:
    """What a function makes of tokens, so many at a time that the activations of all features fit the budget."""
    step = max(1, BUDGET // (4 * n_features))
    return torch.cat([make(part) for part in x.flatten(0, -2).split(step)]).unflatten(0, x.shape[:-1])


class Varying(Steerable):
    """A target of edits whose direction is another at every token, as a whole dictionary makes it of the activation.

    Attributes:
        standing: Its coefficient in an activation as it comes in.
        dictionary: The dictionary; None for a reconstruction of no dictionary.
        label: Name shown to people.
        site_in: Where the dictionary reads.
        site_out: Where it is written.
    """

    standing: ClassVar[float]

    def __init__(self, dictionary: Dictionary | None, label: str, site_in: Site, site_out: Site) -> None:
        self.dictionary, self.label = dictionary, label
        self.site_in, self.site_out = site_in, site_out

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where it is written, as edits want it."""
        return (self.site_out,)

    def direction_at(self, site: Site) -> Float[Tensor, " width"]:
        """None that could be told beforehand.

        Raises:
            VectorError: Always.
        """
        raise VectorError(f"{self.label!r} has another direction at every token, so it has none at '{site}'.")

    if TYPE_CHECKING:

        def reader(self, features: Sequence[int]) -> Reader:
            """What makes its direction, and what it changes the activations of some features by."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.label!r}, {self.site_out})"


class ErrorTerm(Varying):
    """What a reconstruction leaves of an activation: `x - reconstruction(x)`.

    As an activation stands it is in it once, so its coefficient is 1: `ablate()` puts the reconstruction in the place
    of the activation, `scale(1)` leaves the activation bit for bit as it is. Edits of features of the same dictionary
    then act inside the reconstruction, because differences add up.

    Attributes:
        reconstruction: The reconstruction.
    """

    standing = 1.0

    def __init__(
        self,
        reconstruction: Reconstruction,
        label: str,
        site_in: Site,
        site_out: Site,
        dictionary: Dictionary | None = None,
    ) -> None:
        super().__init__(dictionary, label, site_in, site_out)
        self.reconstruction = reconstruction

    @override
    def reader(self, features: Sequence[int]) -> Reconstruction:
        return self.reconstruction
