"""Reading features: an encoder, whole or cut down to a few features, as tensors and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.dictionaries.activations import Activation
    from steerkit.dictionaries.parts import Normalisation

LAYER_NORM_EPS = 1e-5  # OpenAI's sparse_autoencoder and SAELens: added to the spread, not under the root


@dataclass(eq=False)
class Encoder:
    """From activations of the model to activations of features.

    Attributes:
        W_enc: (d_in, k) the encoder's columns that are needed: those of `features`, or all where features are ranked.
        b_enc: (k,) their biases.
        activation: The dictionary's activation function.
        features: Which features are given out; a slice for all.
        b_pre: (d_in,) subtracted after normalisation.
        normalisation: See `Parts`.
        centred: Whether the mean over dimensions is taken out first.
    """

    W_enc: Float[Tensor, "d_in k"]
    b_enc: Float[Tensor, " k"]
    activation: Activation
    features: list[int] | slice
    b_pre: Float[Tensor, " d_in"] | None
    normalisation: Normalisation
    centred: bool

    def __call__(self, x: Float[Tensor, "*tokens d_in"]) -> Float[Tensor, "*tokens n"]:
        """Activations of the features."""
        return self.read(x)[0]

    def read(
        self, x: Float[Tensor, "*tokens d_in"]
    ) -> tuple[Float[Tensor, "*tokens n"], Float[Tensor, "*tokens 1"] | None]:
        """Activations of the features, and what the token was divided by before."""
        normalised, scale, _ = self.normalise(x)
        return self.activate(normalised), scale

    def activate(self, x: Float[Tensor, "*tokens d_in"]) -> Float[Tensor, "*tokens n"]:
        """Activations of the features, of activations that are normalised already."""
        return self.activation(self.preactivations(x), self.features)

    def preactivations(self, x: Float[Tensor, "*tokens d_in"]) -> Float[Tensor, "*tokens k"]:
        """What the activation function is run on, of activations that are normalised already."""
        return (x if self.b_pre is None else x - self.b_pre) @ self.W_enc + self.b_enc

    def normalise(
        self, x: Float[Tensor, "*tokens d_in"]
    ) -> tuple[Float[Tensor, "*tokens d_in"], Float[Tensor, "*tokens 1"] | None, Float[Tensor, "*tokens 1"] | None]:
        """Activations as the encoder takes them, and the scale and the shift that undo it."""
        if self.centred:
            x = x - x.mean(-1, keepdim=True)
        if self.normalisation == "layer_norm":
            mean, spread = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
            return (x - mean) / (spread + LAYER_NORM_EPS), spread, mean
        if self.normalisation == "unit_rms":
            scale = x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5
            return x / scale, scale, None
        return x, None, None

    def to(self, device: torch.device) -> Encoder:
        """The same on a device."""
        if self.W_enc.device == device:
            return self
        b_pre = None if self.b_pre is None else self.b_pre.to(device)
        return Encoder(
            self.W_enc.to(device),
            self.b_enc.to(device),
            self.activation.to(device),
            self.features,
            b_pre,
            self.normalisation,
            self.centred,
        )
