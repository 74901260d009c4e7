"""What every reader turns a published file into: the one representation that the rest of steerkit knows.

With row vectors `x` (…, d_in) and `f` (…, n_features):

    x1, context = normalise(x)                   see `Normalisation`
    p = (x1 - b_pre) @ W_enc + b_enc
    f = activation(p)
    y = denormalise(f @ W_dec + b_dec [+ x1 @ W_skip], context)

Constant scales are folded into the weights by the reader, so that activations of the model go in as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.dictionaries.activations import Activation
    from steerkit.dictionaries.matrix import Matrix
    from steerkit.sites import Site

Normalisation: TypeAlias = Literal["none", "layer_norm", "unit_rms"]


@dataclass(frozen=True, eq=False)
class Parts:
    """The weights of a dictionary and what has to be known to use them.

    Attributes:
        format: Name of the published format they were read from.
        W_dec: (n_features, d_out) directions along which features are written.
        b_dec: (d_out,) added when decoding.
        W_enc: (d_in, n_features); None where features can only be written.
        b_enc: (n_features,) added to the pre-activations.
        b_pre: (d_in,) subtracted after normalisation, before `W_enc`.
        activation: From pre-activations to feature activations.
        normalisation: Per token. `layer_norm`: `x1 = (x - mean) / (std + 1e-5)` with the unbiased std, undone without
            the 1e-5 (OpenAI, SAELens). `unit_rms`: `x1 = x * sqrt(d) / |x|`, undone by the same factor.
        W_skip: (d_in, d_out) linear path past the features, of skip transcoders.
        model: Name of the model it was trained on, as the publisher writes it, if known.
        site_in: Where it reads; None if the files do not say.
        site_out: Where it writes; the same as `site_in` but for transcoders.
        centred: Trained on activations less their mean over dimensions (TransformerLens's processed LayerNorm models).
        skip_bos: The beginning-of-sequence token was not part of its training.
        chat: Trained on text in the chat template.
        reconstructs: Its features together are meant to make up the activation; supervised directions are not.
        l0: Published mean number of features active at a token.
        max_activations: (n_features,) published maxima in native units, if they ship with the weights.
        labels: Labels that ship with the weights, by feature.
        license: Licence of the weights, where the publisher names one.
    """

    format: str
    W_dec: Matrix
    b_dec: Float[Tensor, " d_out"]
    activation: Activation
    W_enc: Matrix | None = None
    b_enc: Float[Tensor, " n_features"] | None = None
    b_pre: Float[Tensor, " d_in"] | None = None
    normalisation: Normalisation = "none"
    W_skip: Float[Tensor, "d_in d_out"] | None = None
    model: str | None = None
    site_in: Site | None = None
    site_out: Site | None = None
    centred: bool = False
    skip_bos: bool = True
    chat: bool = False
    reconstructs: bool = True
    l0: float | None = None
    max_activations: Float[Tensor, " n_features"] | None = None
    labels: dict[int, str] = field(default_factory=dict)
    license: str | None = None

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.W_dec.shape[0]

    @property
    def d_in(self) -> int:
        """Width of what it reads."""
        return self.W_dec.shape[1] if self.W_enc is None else self.W_enc.shape[0]

    @property
    def d_out(self) -> int:
        """Width of what it writes."""
        return self.W_dec.shape[1]
