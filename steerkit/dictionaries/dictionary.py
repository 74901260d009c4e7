"""A dictionary of features: encoding, decoding, and its features as targets of edits."""

from __future__ import annotations

import hashlib
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, SupportsIndex

import torch

from steerkit.counts import at_most
from steerkit.dictionaries.calibration import Calibration, calibrate
from steerkit.dictionaries.codes import Codes
from steerkit.dictionaries.encoder import Encoder
from steerkit.dictionaries.feature import Feature
from steerkit.dictionaries.labels import Labels
from steerkit.dictionaries.neuronpedia import part_of, read_maxima
from steerkit.dictionaries.output_scores import STRENGTH, OutputScores, score_outputs
from steerkit.dictionaries.parts import Parts
from steerkit.dictionaries.reconstruction import ErrorTerm, Reconstruction
from steerkit.dictionaries.self_test import SelfTest, self_test
from steerkit.errors import DictionaryError, FeatureError, PromptError, SiteError, VectorError
from steerkit.sites import ADDED_TO_STREAM

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.model import Model
    from steerkit.sites import Site
    from steerkit.tokens import PromptLike

# Bytes of dense pre-activations that encoding holds at once. The product is slow with few tokens at a time; a second
# array of this size, which some functions rank by, still leaves both within 256 MB.
BUDGET = 112 * 2**20
CPU = torch.device("cpu")
ROWS = 4096  # of the decoder, that are read at once


class Dictionary:
    """A dictionary of features, whatever format it came from. Made by `load_dictionary`.

    Args:
        parts: Its weights and what has to be known to use them.
        name: Name or path it was loaded from.
        revision: Revision it was resolved to, if any.
        labels: A file that keeps labels of the user's own; in memory without one.
        hints: What `load_dictionary` was told besides, so that it can be told again.

    Attributes:
        labels: Labels of the features.
        site_in: Where it reads; None where the files do not say and nobody has.
        site_out: Where it writes.
        published_maxima: (n_features,) maximum activations as published, in native units; NaN where not known.
        calibration: The last calibration, if any.
    """

    def __init__(
        self,
        parts: Parts,
        name: str,
        revision: str | None = None,
        labels: str | os.PathLike[str] | None = None,
        hints: Mapping[str, str | float | bool] | None = None,
    ) -> None:
        self.parts, self.name, self.revision = parts, name, revision
        self.hints = dict(hints or {})
        self.labels = Labels(labels, n_features=parts.n_features)
        if parts.labels:
            self.labels.add(parts.labels, source=parts.format)
        self.site_in: Site | None = parts.site_in
        self.site_out: Site | None = parts.site_out
        self.published_maxima: Tensor | None = parts.max_activations
        self.calibration: Calibration | None = None
        self._W_enc: dict[tuple[torch.device, torch.dtype], Tensor] = {}
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

    def reads_at(self) -> Site:
        """Where it reads.

        Raises:
            DictionaryError: The files do not say, and nobody has.
        """
        return self._known(self.site_in)

    def writes_at(self) -> Site:
        """Where it writes.

        Raises:
            DictionaryError: The files do not say, and nobody has.
        """
        return self._known(self.site_out)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 that tells dictionaries apart without reading them whole.

        Of their shapes, the decoder's bias, and rows of both matrices that are evenly spread, up to a million numbers
        each. Dictionaries that differ in other rows only have the same; small ones are covered whole.
        """
        matrices = [matrix for matrix in (self.parts.W_enc, self.parts.W_dec) if matrix is not None]
        digest = hashlib.sha256(repr([matrix.shape for matrix in matrices]).encode())
        for values in (self.parts.b_dec.float(), *(matrix.sample() for matrix in matrices)):
            digest.update(values.cpu().contiguous().numpy().astype("<f4").tobytes())
        return digest.hexdigest()

    def encode(
        self, x: Float[Tensor, "*tokens d_in"], *, dtype: torch.dtype = torch.float32, budget: int = BUDGET
    ) -> Codes:
        """Activations of all features. They carry no gradient; those of `encode_features` do.

        Args:
            x: Activations at the dictionary's site.
            dtype: Type in which they are multiplied with the encoder. `torch.bfloat16` is faster where there is
                hardware for it, and coarse: values to 8 bits, and features that are only just active come and go.
            budget: Bytes of dense pre-activations that may be held at once. Fewer is slower.

        Raises:
            DictionaryError: The dictionary can only be written, having no encoder; or the type is another.
            VectorError: `x` has another width.
        """
        if dtype not in (torch.float32, torch.bfloat16):
            raise DictionaryError(f"Features cannot be encoded in {dtype}. Choose torch.float32 or torch.bfloat16.")
        encoder = self.encoder(device=x.device, dtype=dtype)
        flat, scale, shift = encoder.normalise(self._flat(x))
        starts, features, values = encoder.active(flat, budget)
        return Codes(
            shape=(*x.shape[:-1], self.n_features),
            starts=starts,
            features=features,
            values=values,
            scale=scale,
            shift=shift,
            skipped=None if self.parts.W_skip is None else flat @ self.parts.W_skip.to(flat),
        )

    def encode_features(self, x: Float[Tensor, "*tokens d_in"], features: Sequence[int]) -> Float[Tensor, "*tokens k"]:
        """Activations of a few features: the numbers that `encode` gives, from their weights alone.

        Top-k dictionaries rank all features, so there every one is computed.

        Raises:
            FeatureError: An index is out of range.
            DictionaryError: The dictionary has no encoder.
            VectorError: `x` has another width.
        """
        encoder = self.encoder([self._checked(index) for index in features], device=x.device)
        return encoder(self._flat(x)).reshape(*x.shape[:-1], len(features))

    def encoder(
        self,
        features: Sequence[int] | None = None,
        *,
        device: torch.device = CPU,
        dtype: torch.dtype = torch.float32,
    ) -> Encoder:
        """The encoder, for all features or for a few, on a device.

        Args:
            features: Which; all without them.
            device: Where its weights are to be. Whole matrices stay there for the next time.
            dtype: Type of its matrix.

        Raises:
            DictionaryError: The dictionary has none.
        """
        parts = self.parts
        if parts.W_enc is None:
            raise DictionaryError(f"{self.name} has no encoder: its features can be written but not read.")
        few = features is not None and parts.activation.local
        if few:
            W_enc = parts.W_enc.columns(list(features)).to(device, dtype)
        else:
            if (device, dtype) not in self._W_enc:
                self._W_enc[device, dtype] = parts.W_enc.whole().to(device, dtype)
            W_enc = self._W_enc[device, dtype]
        bias = torch.zeros(self.n_features) if parts.b_enc is None else parts.b_enc
        return Encoder(
            W_enc=W_enc,
            b_enc=(bias[list(features)] if few else bias).to(device),
            activation=parts.activation.to(device),
            features=slice(None) if features is None else list(features),
            b_pre=None if parts.b_pre is None else parts.b_pre.to(device),
            normalisation=parts.normalisation,
            centred=parts.centred,
        )

    def decode(self, codes: Codes) -> Float[Tensor, "*tokens d_out"]:
        """What the active features make together."""
        W_dec = self._decoder().to(codes.values.device)
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

    @cached_property
    def error_term(self) -> ErrorTerm:
        """What the dictionary does not explain, as a target of edits: `ablate()` leaves the reconstruction alone.

        Raises:
            DictionaryError: The dictionary has no encoder, does not say where it belongs, or does not reconstruct.
        """
        parts = self.parts
        if not parts.reconstructs:
            raise DictionaryError(
                f"The features of {self.name} are directions of their own (supervised, or a selection) and do not make "
                "up the activation together, so there is no error term, and nothing for self_test to compare."
            )
        reconstruction = Reconstruction(
            b_dec=parts.b_dec,
            encoder=self.encoder(),
            W_dec=self._decoder(),
            W_skip=parts.W_skip,
            keeps_mean=parts.centred and self.reads_at() == self.writes_at(),
        )
        return ErrorTerm(reconstruction, f"error of {self.name}", self.reads_at(), self.writes_at(), self)

    def __getitem__(self, feature: SupportsIndex | str) -> Feature:
        """A feature by index, or by label where one alone bears it.

        Raises:
            FeatureError: There is no such feature, or several bear the label.
        """
        if not isinstance(feature, str):
            return Feature(self, self._checked(feature))
        found = self.labels.named(feature)
        if len(found) != 1:
            listed = f": {', '.join(map(str, found[:5]))}" if found else ". Look for it with search"
            raise FeatureError(f"{len(found)} features of {self.name} are called {feature!r}{listed}.")
        return Feature(self, found[0])

    def __iter__(self) -> Iterator[Feature]:
        return (Feature(self, index) for index in range(self.n_features))

    def label(self, index: int) -> str | None:
        """A feature's best label, if it has one."""
        label = self.labels.best(index)
        return None if label is None else label.text

    def set_label(self, index: int, text: str | None) -> None:
        """Give a feature a label of your own; None takes it away again. Imports never change it.

        Raises:
            FeatureError: There is no such feature.
            DictionaryError: The text is too long.
        """
        self.labels.set(index, text)

    def search(self, text: str, limit: int = 20, *, by_meaning: bool = False) -> list[Feature]:
        """Features whose labels answer a search, best first.

        Args:
            text: Words, or the beginnings of words; small typing errors do no harm.
            limit: How many at most.
            by_meaning: Compare meanings instead; needs the package sentence-transformers.

        Raises:
            ModelError: Search by meaning is not to be had.
        """
        return [Feature(self, match.feature) for match in self.labels.search(text, limit, by_meaning=by_meaning)]

    def max_activation(self, index: int) -> float | None:
        """A feature's maximum activation, as calibrated or else as published; None if unknown or never active."""
        maxima = self.published_maxima if self.calibration is None else self.calibration.maximum
        return None if maxima is None or not maxima[index] > 0 else maxima[index].item()

    def import_labels(self, path: str | os.PathLike[str], *, layer: str | None = None) -> int:
        """Import labels; see `Labels.load`. Of an export of Neuronpedia's the part that belongs to this dictionary.

        Returns:
            How many labels were imported.

        Raises:
            DictionaryError: There is no such file, or it is damaged or of no known form.
            FeatureError: A label is for a feature that the dictionary does not have.
        """
        return self.labels.load(part_of(path, self.name), layer=layer)

    def import_maxima(self, maxima: Mapping[int, float] | str | os.PathLike[str], *, layer: str | None = None) -> int:
        """Import maximum activations that Neuronpedia publishes; the unit `max` rests on them until a calibration.

        Neuronpedia scales each feature so that its decoder row has length 1. Here every feature keeps its own scale, so
        its maximum is divided by the row's length; of a top-k dictionary, which Neuronpedia leaves as it is, not.

        Args:
            maxima: `maxActApprox` by feature; a file or folder of Neuronpedia's features; or a whole export.
            layer: Neuronpedia's id of the dictionary, such as `"20-gemmascope-res-16k"`, if the file has several.

        Returns:
            How many maxima were imported.

        Raises:
            DictionaryError: There is no such file, or it is damaged.
            FeatureError: A maximum is for a feature that the dictionary does not have. Nothing is imported then.
        """
        if isinstance(maxima, Mapping):
            found = {int(index): float(maximum) for index, maximum in maxima.items()}
        else:
            found = dict(read_maxima(part_of(maxima, self.name), layer))
        features = [self._checked(index) for index in found]
        values = torch.tensor([found[index] for index in features])
        activation = self.parts.activation
        if activation.local or getattr(activation, "weight", None) is not None:
            norms = [self.parts.W_dec.rows(features[i : i + ROWS]).norm(dim=-1) for i in range(0, len(features), ROWS)]
            values = values / torch.cat(norms) if norms else values
        before = self.published_maxima
        kept = torch.full((self.n_features,), torch.nan) if before is None else before.clone()
        kept[features] = values
        self.published_maxima = kept
        return len(features)

    def calibrate(self, model: Model, texts: Sequence[PromptLike], *, batch_size: int = 16) -> Calibration:
        """Measure the features over texts; the unit `max` rests on the result, which is kept as `calibration`.

        Raises:
            SteerkitError: A text or the dictionary does not fit the model.
        """
        self.calibration = calibrate(self, model, texts, batch_size=batch_size)
        return self.calibration

    def self_test(self, model: Model, texts: Sequence[PromptLike]) -> SelfTest:
        """Test whether the dictionary belongs to a model and a site: how well it explains the activations there.

        A few hundred tokens are enough. Every layer is encoded, to see whether another would fit better.

        Raises:
            SteerkitError: A text or the dictionary does not fit the model.

        Example:
            >>> features.self_test(model, texts).passed  # doctest: +SKIP
            True
        """
        return self_test(self, model, texts)

    def by_effect(
        self,
        model: Model,
        texts: Sequence[PromptLike],
        features: Sequence[Feature | SupportsIndex] | None = None,
        *,
        strength: float = STRENGTH,
    ) -> OutputScores:
        """Rank features by what they do to the model's next token: better ones to steer with, see `OutputScores`.

        Args:
            model: The model.
            texts: Beginnings that lead nowhere in particular, such as `"From my experience,"`.
            features: Which to try; all without them.
            strength: How much of each is added at the last token, in multiples of the largest activation of any feature
                there.

        Raises:
            FeatureError: An index is out of range.
            SteerkitError: A text or the dictionary does not fit the model.

        Example:
            >>> features.by_effect(model, ["From my experience,"]).best(5)  # doctest: +SKIP
        """
        indices = range(self.n_features) if features is None else features
        chosen = [self._checked(one.index if isinstance(one, Feature) else one) for one in indices]
        return score_outputs(self, model, texts, chosen, strength)

    def nearest(self, feature: Feature | SupportsIndex, limit: int = 10) -> list[Feature]:
        """The features whose decoder rows point most nearly the same way, nearest first.

        Raises:
            FeatureError: An index is out of range.
        """
        index = self._checked(feature.index if isinstance(feature, Feature) else feature)
        rows = torch.nn.functional.normalize(self._decoder(), dim=-1)
        cosines = rows @ rows[index]
        cosines[index] = -torch.inf
        return [Feature(self, i) for i in cosines.topk(min(at_most(limit), self.n_features - 1)).indices.tolist()]

    def promoting(self, token: str, model: Model, limit: int = 10) -> list[tuple[Feature, float]]:
        """The features that raise a token's logit most by themselves, and by how much; the most first.

        The effect is that of one decoder row on the first token of the text, past all later layers; see
        `steerkit.top_tokens.logit_effects`.

        Raises:
            SteerkitError: The text has no token, or its effects are not known for this model or this site.
        """
        if self.writes_at().kind not in ADDED_TO_STREAM:
            raise SiteError(
                f"{self.name} is written at '{self.writes_at()}', from where it reaches the residual stream through "
                f"other weights only. Tokens are known for the kinds {', '.join(ADDED_TO_STREAM)}."
            )
        ids = model.tokenizer(token, add_special_tokens=False)["input_ids"] if token else []
        if not ids:
            raise PromptError(f"{token!r} has no token. Give a word, such as ' rain'.")
        effects = self._decoder() @ model.token_direction(ids[0])
        best = effects.topk(min(at_most(limit), self.n_features))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [(Feature(self, index), effect) for index, effect in pairs]

    def __eq__(self, other: object) -> bool:
        """Whether it is the same dictionary, however often it was loaded."""
        return self is other or (
            isinstance(other, Dictionary)
            and (self.name, self.revision, self.hints) == (other.name, other.revision, other.hints)
            and (self.site_in, self.site_out) == (other.site_in, other.site_out)
            and self.checksum == other.checksum
        )

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        where = self.site_in if self.site_in == self.site_out else f"{self.site_in} to {self.site_out}"
        return f"Dictionary({self.name!r}, {self.n_features} features at {where}, {self.parts.format})"

    def _decoder(self) -> Float[Tensor, "n_features d_out"]:
        if self._W_dec is None:
            self._W_dec = self.parts.W_dec.whole()
        return self._W_dec

    def _known(self, site: Site | None) -> Site:
        if site is None:
            raise DictionaryError(
                f"{self.name} does not say where in the model it belongs. "
                "Load it with site=, such as load_dictionary(..., site='12.resid_post')."
            )
        return site

    def _flat(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.d_in:
            raise VectorError(f"{self.name} reads activations {self.d_in} wide; these are {x.shape[-1]} wide.")
        return x.reshape(-1, self.d_in).float()

    def _checked(self, index: SupportsIndex) -> int:
        valid = f"its features are 0 to {self.n_features - 1}."
        try:
            whole = operator.index(index)
        except TypeError:
            raise FeatureError(f"{self.name} has no feature {index!r}, which is no whole number: {valid}") from None
        if not 0 <= whole < self.n_features:
            raise FeatureError(f"{self.name} has no feature {whole}: {valid}")
        return whole
