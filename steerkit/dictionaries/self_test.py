"""Whether a dictionary belongs to a model and a site: how well it explains what stands there.

A dictionary has to explain more than it leaves unexplained, of the variance and of the loss (both are 0 for the mean of
the activations and 1 for perfection); what is compared is compared beyond three standard errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

import torch

from steerkit import pages
from steerkit.dictionaries.reconstruction import ErrorTerm, Reconstruction
from steerkit.dictionaries.texts import as_trained
from steerkit.errors import PromptError
from steerkit.sites import Site

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float
    from matplotlib.figure import Figure
    from torch import Tensor

    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.edits import Edit
    from steerkit.model import Model
    from steerkit.tokens import Prompt, PromptLike

ERRORS = 3  # standard errors that count as a difference
HALF = 0.5
# Training a decoder's bias takes the mean out of the error: of autoencoders trained on a small model it was 0 to 2% of
# the squared error on other texts, and 26 to 91% when the bias was left away.
CONSTANT = 0.1
SAMPLE = 4096  # features whose encoder and decoder are compared
PUBLISHED = 2.0  # factor within which the published number of active features has to be met


@dataclass(frozen=True)
class SelfTest:
    """What a self-test found. Special tokens are left out everywhere, and padding.

    Attributes:
        dictionary: Name of the dictionary.
        revision: Revision it was resolved to, if any.
        model: Name of the model.
        site: Where the dictionary writes: where its reconstruction was compared.
        n_tokens: Number of tokens.
        explained_variance: `1 - Σ|x - x̂|² / Σ|x - x̄|²` over the tokens.
        l0: Mean number of features active at a token.
        loss: Mean nats a token of the model as it is.
        loss_mean_ablated: The same with the mean activation in the place of every activation at the site.
        loss_reconstructed: The same with the reconstruction in its place.
        by_site: The variance explained at the same place of every layer.
        problems: What speaks against the dictionary, in words; none if it passed.
    """

    dictionary: str
    revision: str | None
    model: str
    site: Site
    n_tokens: int
    explained_variance: float
    l0: float
    loss: float
    loss_mean_ablated: float
    loss_reconstructed: float
    by_site: dict[Site, float]
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the dictionary."""
        return not self.problems

    @property
    def loss_recovered(self) -> float:
        """`(mean-ablated - reconstructed) / (mean-ablated - as it is)`; NaN where mean ablation costs nothing."""
        cost = self.loss_mean_ablated - self.loss
        return (self.loss_mean_ablated - self.loss_reconstructed) / cost if cost > 0 else float("nan")

    def to_frame(self) -> pd.DataFrame:
        """One row."""
        import pandas as pd

        row = {
            "dictionary": self.dictionary,
            "revision": self.revision,
            "model": self.model,
            "site": str(self.site),
            "tokens": self.n_tokens,
            "explained_variance": self.explained_variance,
            "l0": self.l0,
            "loss": self.loss,
            "loss_mean_ablated": self.loss_mean_ablated,
            "loss_reconstructed": self.loss_reconstructed,
            "loss_recovered": self.loss_recovered,
            "passed": self.passed,
            "problems": " ".join(self.problems),
        }
        return pd.DataFrame([row])

    def plot(self) -> Figure:
        """The variance explained at every layer."""
        from steerkit.figures import bars

        sites, values = list(map(str, self.by_site)), list(self.by_site.values())
        return bars(sites, values, "variance explained", marked=sites.index(str(self.site)))

    def __str__(self) -> str:
        found = (
            f"{self.dictionary} at {self.site} of {self.model}: {'passed' if self.passed else 'failed'}\n"
            f"explained variance {self.explained_variance:.3f}, {self.l0:.1f} active features a token, loss recovered "
            f"{self.loss_recovered:.3f} ({self.n_tokens} tokens; nats a token {self.loss:.3f}, reconstructed "
            f"{self.loss_reconstructed:.3f}, mean-ablated {self.loss_mean_ablated:.3f})"
        )
        return "\n".join([found, *(f"- {problem}" for problem in self.problems)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        first, figures, *problems = str(self).split("\n")
        return pages.fragment(pages.heading(first), pages.note(figures), *map(pages.note, problems))


def self_test(dictionary: Dictionary, model: Model, texts: Sequence[PromptLike]) -> SelfTest:
    """Test a dictionary on a model.

    Args:
        dictionary: The dictionary.
        model: The model that it is said to belong to.
        texts: Texts, token ids or chat messages; a few hundred tokens are enough.

    Raises:
        DictionaryError: The dictionary cannot be read, or does not reconstruct.
        VectorError: It is of another width than the model's site.
        PromptError: The texts have no tokens that count.
        SteerkitError: A text or the dictionary does not fit the model.
    """
    error_term = dictionary.error_term
    places, here = _places(dictionary, model), dictionary.writes_at()
    fits = {write: _Fit(dictionary) for _, write in places}
    sites = list(dict.fromkeys(site for place in places for site in place))
    prompts: list[Prompt] = []
    for prompt, activations in model.activations(as_trained(model, texts, chat=dictionary.parts.chat), sites):
        plain = [i for i, special in enumerate(prompt.special) if not special]
        for read, write in places:
            fits[write].add(activations[read][plain], activations[write][plain])
        prompts.append(prompt)
    fit = fits[here]
    if fit.n_tokens < 2:
        raise PromptError("The texts have no two tokens that are not special. Give some sentences.")
    mean = ErrorTerm(Reconstruction(b_dec=fit.mean), "what the mean leaves", here, here)
    losses = [_loss(model, prompts, edits) for edits in ([], [mean.ablate()], [error_term.ablate()])]
    found = SelfTest(
        dictionary=dictionary.name,
        revision=dictionary.revision,
        model=model.name,
        site=here,
        n_tokens=fit.n_tokens,
        explained_variance=fit.explained,
        l0=fit.n_active / fit.n_tokens,
        loss=losses[0],
        loss_mean_ablated=losses[1],
        loss_reconstructed=losses[2],
        by_site={site: fits[site].explained for site in sorted(fits, key=lambda site: site.depth)},
        problems=(),
    )
    problems = list(_problems(dictionary, found, fits))
    trained_on = dictionary.parts.model
    if problems and trained_on and _plain_name(trained_on) != _plain_name(model.name):
        problems.append(f"Its files say that it was trained on {trained_on}; this is {model.name}.")
    return replace(found, problems=tuple(problems))


def _places(dictionary: Dictionary, model: Model) -> list[tuple[Site, Site]]:
    """Where it reads and writes, and where it would in the other layers."""
    read, write = dictionary.reads_at(), dictionary.writes_at()
    shift, known = write.layer - read.layer, set(model.sites)
    others = ((Site(layer, read.kind), Site(layer + shift, write.kind)) for layer in range(model.n_layers))
    return [(read, write), *(place for place in others if place[1] != write and known.issuperset(place))]


def _loss(model: Model, prompts: Sequence[Prompt], edits: Sequence[Edit]) -> float:
    """Mean nats of the tokens that are predicted at tokens that are not special."""
    nats = [
        -logprob
        for prompt in prompts
        if len(prompt) > 1
        for logprob, special in zip(model.score(prompt, edits).tolist(), prompt.special[:-1], strict=True)
        if not special
    ]
    return fmean(nats) if nats else float("nan")


class _Fit:
    """Sums over tokens, from which follows how well a dictionary explains a site."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.dictionary = dictionary
        self.n_tokens, self.n_active, self.squares = 0, 0, 0.0
        self.sum = torch.zeros(dictionary.d_out, dtype=torch.float64)
        self.sum_of_errors = torch.zeros(dictionary.d_out, dtype=torch.float64)
        self.squared_errors: list[float] = []  # a text

    def add(self, read: Float[Tensor, "tokens d_in"], write: Float[Tensor, "tokens d_out"]) -> None:
        """Count a text's tokens in."""
        codes = self.dictionary.encode(read)
        if self.dictionary.parts.centred:  # then the reconstruction has no mean over dimensions either
            write = write - write.mean(-1, keepdim=True)
        errors = (write - self.dictionary.decode(codes)).double()
        self.n_tokens += len(write)
        self.n_active += len(codes.values)
        self.squares += write.double().square().sum().item()
        self.sum += write.double().sum(0)
        self.sum_of_errors += errors.sum(0)
        self.squared_errors.append(errors.square().sum().item())

    @property
    def mean(self) -> Float[Tensor, " d_out"]:
        """Mean activation."""
        return (self.sum / self.n_tokens).float()

    @property
    def unexplained(self) -> Float[Tensor, " texts"]:
        """Share of the variance that is not explained, split by texts."""
        variance = self.squares - self.sum.square().sum().item() / self.n_tokens
        return torch.tensor(self.squared_errors, dtype=torch.float64) / variance

    @property
    def explained(self) -> float:
        """Share of the variance that is explained."""
        return 1 - self.unexplained.sum().item()

    @property
    def constant(self) -> float:
        """Share of the squared error that its mean over tokens makes."""
        return (self.sum_of_errors.square().sum() / self.n_tokens).item() / sum(self.squared_errors)


def _problems(dictionary: Dictionary, found: SelfTest, fits: dict[Site, _Fit]) -> Iterator[str]:
    fit, parts = fits[found.site], dictionary.parts
    if found.l0 == 0:
        yield "None of its features is active at any token: its encoder does not fit what it reads here."
        return
    if fit.explained < HALF:
        less = "less than the mean of the activations would" if fit.explained <= 0 else "less than half"
        yield f"It explains {fit.explained:.2f} of the variance at {found.site}, {less}."
    best = max(fits, key=lambda site: fits[site].explained)
    if fits[best].explained >= HALF and _clearly_more(fit.unexplained, fits[best].unexplained):
        yield (
            f"It explains {fits[best].explained:.2f} of the variance at {best} and {fit.explained:.2f} at "
            f"{found.site}: it seems to belong to {best}. Load it with site='{best}'."
        )
    if found.loss_recovered < HALF:
        yield (
            f"With its reconstruction in the place of the activation the model recovers {found.loss_recovered:.2f} of "
            "the loss that mean ablation costs, less than half."
        )
    if fit.constant > CONSTANT:
        yield (
            f"{fit.constant:.0%} of its squared error is one and the same at every token: a bias seems to be missing, "
            "or to be another model's."
        )
    if found.l0 >= dictionary.d_in:
        yield (
            f"{found.l0:.0f} features are active at a token, no fewer than the {dictionary.d_in} dimensions they "
            "read: that is not sparse, and its bias, threshold or scale seems wrong."
        )
    elif parts.l0 is not None and not 1 / PUBLISHED <= found.l0 / parts.l0 <= PUBLISHED:
        yield (
            f"{found.l0:.1f} features are active at a token; {parts.l0:g} are published: "
            "its bias, threshold or scale, or the texts, seem wrong."
        )
    if parts.site_in == parts.site_out and not _aligned(dictionary):
        yield (
            "Encoder and decoder of a feature point no more the same way than those of different features: one of "
            "them seems to be transposed or in another order."
        )


def _plain_name(model: str) -> str:
    return model.rstrip("/").rpartition("/")[2].lower()


def _clearly_more(some: Float[Tensor, " texts"], others: Float[Tensor, " texts"]) -> bool:
    """Whether a sum over texts is more than another, beyond chance."""
    difference = some - others
    return len(difference) > 1 and bool(difference.sum() > ERRORS * difference.std() * len(difference) ** 0.5)


def _aligned(dictionary: Dictionary) -> bool:
    """Whether encoder columns point the way of their decoder rows, more than of their neighbours' rows."""
    features = list(range(min(dictionary.n_features, SAMPLE)))
    columns = dictionary.encoder(features).W_enc[:, features].T
    rows = dictionary.parts.W_dec.rows(features)
    difference = torch.cosine_similarity(columns, rows) - torch.cosine_similarity(columns, rows.roll(1, 0))
    return _clearly_more(difference, torch.zeros_like(difference))
