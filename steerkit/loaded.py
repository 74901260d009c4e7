"""`Loaded`: a transformer in memory, or on NDIF, and what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from steerkit.errors import VectorError
from steerkit.plans import EditsLike, Plan
from steerkit.runner import Runner
from steerkit.sites import Site
from steerkit.tokens import Encoded, Prompt, PromptLike, TextLike, encode, encode_all
from steerkit.top_tokens import logit_effects, token_direction

if TYPE_CHECKING:
    from jaxtyping import Float
    from nnsight import TransformersModel
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase


class Loaded:
    """A transformer with its tokenizer.

    Attributes:
        nnsight: The nnsight model, for traces of your own.
        tokenizer: Its tokenizer, with a padding token.
        name: Name or folder it was loaded from.
        revision: Revision asked for, if any.
        remote: False, True (NDIF) or `"local"` (a simulation of NDIF).
    """

    def __init__(
        self, lm: TransformersModel, *, name: str, revision: str | None = None, remote: bool | str = False
    ) -> None:
        self.nnsight = lm
        self.tokenizer: PreTrainedTokenizerBase = lm.tokenizer
        self.name, self.revision, self.remote = name, revision, remote
        self._runner = Runner(lm, name, remote)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self._runner.sites.d_model

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return self._runner.sites.n_layers

    @property
    def context(self) -> int | None:
        """Most tokens of a text; None where the model has no limit."""
        return self._runner.context

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self._runner.module.parameters())

    @property
    def commit(self) -> str | None:
        """Commit of the repository that it was loaded from; None where it came from a folder or memory."""
        return getattr(self._runner.module.config, "_commit_hash", None)

    @property
    def device(self) -> torch.device:
        """Where the first parameter is."""
        return next(self._runner.module.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the first parameter."""
        return next(self._runner.module.parameters()).dtype

    @property
    def sites(self) -> list[Site]:
        """Every site that can be read and steered, in the order of depth."""
        return list(self._runner.sites)

    def width(self, site: str | Site) -> int:
        """Width of the activation at a site.

        Raises:
            SiteError: The model has no such site.
        """
        return self._runner.sites.width(self._runner.module, self._runner.sites.check(site))

    def encode(self, prompt: PromptLike) -> Prompt:
        """Tokenise text, token ids or chat messages.

        Raises:
            PromptError: The prompt is empty or of another form.
        """
        return encode(self.tokenizer, prompt)

    def encode_all(self, texts: Sequence[TextLike]) -> list[Encoded]:
        """Tokenise several texts: text, token ids, chat messages, or a `Completion`.

        Raises:
            PromptError: One of them is empty or of another form, or they are a single text.
        """
        return encode_all(self.tokenizer, texts)

    def check(self, edits: EditsLike) -> None:
        """Refuse edits that this model cannot run, without running anything.

        Raises:
            SteerkitError: A site, a width, a unit or a combination of edits does not fit.
        """
        self._runner.compile([Plan(edits)])

    def logit_effects(self, direction: Float[Tensor, " d_model"]) -> Float[Tensor, " vocabulary"]:
        """Direct effect on the logits of one direction added to the residual stream; see `steerkit.top_tokens`.

        Raises:
            VectorError: It is of another width than the residual stream.
            ModelError: What stands between the stream and the logits is not known.
            EngineError: The model runs remotely.
        """
        self._runner.refuse_remote("logit_effects")
        if direction.shape != (self.d_model,):
            raise VectorError(
                f"The direction has the shape {tuple(direction.shape)}; the residual stream of {self.name} is "
                f"{self.d_model} wide."
            )
        return logit_effects(self._runner.module, self._runner.sites.family, direction)

    def token_direction(self, token: int) -> Float[Tensor, " d_model"]:
        """The direction whose product with any other is that one's effect on a token's logit; see `logit_effects`.

        Raises:
            PromptError: There is no such token.
            ModelError: What stands between the stream and the logits is not known.
            EngineError: The model runs remotely.
        """
        self._runner.refuse_remote("token_direction")
        self.encode([token])
        return token_direction(self._runner.module, self._runner.sites.family, token)
