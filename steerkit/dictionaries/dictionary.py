"""A dictionary of features: encoding, decoding, and its features as targets of edits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from steerkit.dictionaries.codes import Codes
from steerkit.dictionaries.parts import Parts
from steerkit.errors import DictionaryError, FeatureError, VectorError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.sites import Site

# Bytes of dense pre-activations that encoding holds at once; small enough to stay near the processor's caches.
BUDGET = 64 * 2**20
LAYER_NORM_EPS = 1e-5  # OpenAI's sparse_autoencoder and SAELens, outside the root


class Dictionary:
    """A dictionary of features, whatever format it came from. Made by `load_dictionary`.

    Args:
        parts: Its weights and what has to be known to use them.
        name: Name or path it was loaded from.
        revision: Revision it was resolved to, if any.

    Attributes:
        site_in: Where it reads; None where the files do not say and nobody has.
        site_out: Where it writes.
    """

    def __init__(self, parts: Parts, name: str, revision: str | None = None) -> None:
        self.parts, self.name, self.revision = parts, name, revision
        self.site_in: Site | None = parts.site_in
        self.site_out: Site | None = parts.site_out or parts.site_in
        self._W_enc: Tensor | None = None
        self._W_dec: Tensor | None = None

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.parts.n_features

    @property
    def d_in(self) -> int:
        """Width of what it reads."""
        return self.parts.d_in

    @property
    def d_out(self) -> int:
        """Width of what it writes."""
        return self.parts.d_out

    def __len__(self) -> int:
        return self.n_features

    def encode(self, x: Float[Tensor, "*tokens d_in"], *, budget: int = BUDGET) -> Codes:
        """Activations of all features, in float32.

        Args:
            x: Activations at the dictionary's site.
            budget: Bytes of dense pre-activations that may be held at once. Fewer is slower.

        Raises:
            DictionaryError: The dictionary can only be written, having no encoder.
            VectorError: `x` has another width.
        """
        flat, scale, shift = self._normalised(x)
        step = max(1, budget // (4 * self.n_features))
        starts, features, values = [torch.zeros(1, dtype=torch.long, device=flat.device)], [], []
        for start in range(0, len(flat), step):
            active = self._activate(flat[start : start + step], slice(None))
            tokens, found = active.nonzero(as_tuple=True)
            counts = torch.bincount(tokens, minlength=len(active))
            starts.append(counts.cumsum(0) + starts[-1][-1])
            features.append(found.int())
            values.append(active[tokens, found])
        skipped = None if self.parts.W_skip is None else flat @ self.parts.W_skip.to(flat)
        return Codes(
            shape=(*x.shape[:-1], self.n_features),
            starts=torch.cat(starts),
            features=torch.cat(features) if features else torch.empty(0, dtype=torch.int, device=flat.device),
            values=torch.cat(values) if values else torch.empty(0, device=flat.device),
            scale=scale,
            shift=shift,
            skipped=skipped,
        )

    def encode_features(self, x: Float[Tensor, "*tokens d_in"], features: Sequence[int]) -> Float[Tensor, "*tokens k"]:
        """Activations of a few features: the numbers that `encode` gives, from their weights alone.

        Top-k dictionaries rank all features, so there every one is computed.

        Raises:
            FeatureError: An index is out of range.
            DictionaryError: The dictionary has no encoder.
            VectorError: `x` has another width.
        """
        wanted = [self._checked(index) for index in features]
        flat, _, _ = self._normalised(x)
        return self._activate(flat, wanted).reshape(*x.shape[:-1], len(wanted))

    def decode(self, codes: Codes) -> Float[Tensor, "*tokens d_out"]:
        """What the active features make together."""
        if self._W_dec is None:
            self._W_dec = self.parts.W_dec.whole()
        W_dec = self._W_dec.to(codes.values.device)
        summed = torch.nn.functional.embedding_bag(
            codes.features.long(),
            W_dec,
            codes.starts,
            mode="sum",
            per_sample_weights=codes.values,
            include_last_offset=True,
        )
        made = summed + self.parts.b_dec.to(summed)
        if codes.skipped is not None:
            made = made + codes.skipped
        if codes.scale is not None:
            made = made * codes.scale
        if codes.shift is not None:
            made = made + codes.shift
        return made.reshape(*codes.shape[:-1], self.d_out)

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.n_features))

    def __repr__(self) -> str:
        where = self.site_in if self.site_in == self.site_out else f"{self.site_in} to {self.site_out}"
        return f"Dictionary({self.name!r}, {self.n_features} features at {where}, {self.parts.format})"

    def _normalised(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        if self.parts.W_enc is None:
            raise DictionaryError(f"{self.name} has no encoder: its features can be written but not read.")
        if x.shape[-1] != self.d_in:
            raise VectorError(f"{self.name} reads activations {self.d_in} wide; these are {x.shape[-1]} wide.")
        flat = x.reshape(-1, self.d_in).float()
        if self.parts.centred:
            flat = flat - flat.mean(-1, keepdim=True)
        return normalise(flat, self.parts)

    def _activate(self, x: Tensor, features: slice | list[int]) -> Tensor:
        parts = self.parts
        local = parts.activation.local and isinstance(features, list)
        columns = features if local else slice(None)
        if local:
            W_enc = parts.W_enc.columns(features).to(x)
        else:
            if self._W_enc is None:
                self._W_enc = parts.W_enc.whole()
            W_enc = self._W_enc.to(x.device)
        bias = torch.zeros(W_enc.shape[1]).to(x) if parts.b_enc is None else parts.b_enc[columns].to(x)
        if parts.b_pre is not None:
            x = x - parts.b_pre.to(x)
        return parts.activation(torch.addmm(bias, x, W_enc), features)

    def _checked(self, index: int) -> int:
        if not 0 <= index < self.n_features:
            raise FeatureError(f"{self.name} has no feature {index}: its features are 0 to {self.n_features - 1}.")
        return index


def normalise(
    x: Float[Tensor, "tokens d_in"], parts: Parts
) -> tuple[Float[Tensor, "tokens d_in"], Float[Tensor, "tokens 1"] | None, Float[Tensor, "tokens 1"] | None]:
    """The token as the encoder takes it, and the scale and shift that undo it."""
    if parts.normalisation == "layer_norm":
        mean = x.mean(-1, keepdim=True)
        spread = x.std(-1, keepdim=True)
        return (x - mean) / (spread + LAYER_NORM_EPS), spread, mean
    if parts.normalisation == "unit_rms":
        scale = x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5
        return x / scale, scale, None
    return x, None, None
