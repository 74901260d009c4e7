"""Reading features: an encoder, whole or cut down to a few features, as tensors and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from steerkit.dictionaries.activations import Activation
    from steerkit.dictionaries.parts import Normalisation

LAYER_NORM_EPS = 1e-5  # OpenAI's sparse_autoencoder and SAELens: added to the spread, not under the root


@dataclass(eq=False)
class Encoder:
    """From activations of the model to activations of features.

    Attributes:
        W_enc: (d_in, k) the encoder's columns that are needed: those of `features`, or all where features are ranked.
            Products with it are made in its type.
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

    def active(
        self, x: Float[Tensor, "n_tokens d_in"], budget: int
    ) -> tuple[Int[Tensor, " n_tokens_plus_1"], Int[Tensor, " n_active"], Float[Tensor, " n_active"]]:
        """Activations other than 0 of all features, of activations that are normalised already.

        Args:
            x: Activations of the model.
            budget: Bytes of dense pre-activations that may be held at once.

        Returns:
            Where each token's entries begin, their features, and their values: see `Codes`.
        """
        dtype, n_features = self.W_enc.dtype, self.W_enc.shape[1]
        step = max(1, budget // (n_features * dtype.itemsize))
        bias = self.b_enc.to(dtype)
        # one buffer for all chunks: memory that is new to the process costs a tenth of the product's time
        held = torch.empty(min(step, len(x)), n_features, dtype=dtype, device=x.device)
        counts, features, values = [torch.zeros(1, dtype=torch.long, device=x.device)], [], []
        for chunk in x.detach().split(step):
            centred = chunk if self.b_pre is None else chunk - self.b_pre
            p = torch.addmm(bias, centred.to(dtype), self.W_enc, out=held[: len(chunk)])
            tokens, found = self.activation.active(p)
            value = self.activation.values(p[tokens, found].float(), found)
            left = value != 0
            counts.append(tokens[left].bincount(minlength=len(chunk)))
            features.append(found[left].int())
            values.append(value[left])
        return torch.cat(counts).cumsum(0), torch.cat(features), torch.cat(values)

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
