"""What features do to the model's next token: by it features are chosen that steer.

Source: Arad et al. (2025), "SAEs Are Good for Steering - If You Select the Right Features", output score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING

import torch
from tqdm.auto import tqdm

from steerkit import pages
from steerkit.batching import in_batches
from steerkit.counts import at_most
from steerkit.dictionaries.texts import as_trained
from steerkit.errors import EditError, PromptError

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Bool, Float, Int
    from matplotlib.figure import Figure
    from torch import Tensor

    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.dictionaries.feature import Feature
    from steerkit.model import Model
    from steerkit.tokens import Encoded, PromptLike

STRENGTH = 10.0  # of the largest activation
OWN = 20  # tokens that stand for a feature
SHOWN, LETTERS = 10, 30


@dataclass(frozen=True, eq=False)
class OutputScores:
    """What features do to the next token, as a mean over texts.

    A feature's own tokens are the 20 whose logits its direction raises most by itself (see `top_tokens`). Features that
    score well make just these likely. Those that read well seldom do, so it pays to choose by this.

    Attributes:
        dictionary: The dictionary.
        features: (n,) the features that were tried.
        score: (n,) the output score, from 0 to 1: the probability of the likeliest of its own tokens, times 1 less the
            share of the vocabulary that is likelier.
        gain: (n,) change of the log-probability of its own tokens together, in nats.
        kl: (n,) KL(steered ‖ unsteered) of the next token, in nats: what the change costs.
    """

    dictionary: Dictionary
    features: Int[Tensor, " n"]
    score: Float[Tensor, " n"]
    gain: Float[Tensor, " n"]
    kl: Float[Tensor, " n"]

    def best(self, limit: int = SHOWN) -> list[Feature]:
        """The features with the highest scores, highest first."""
        return [self.dictionary[index] for index in self.features[self._order()[: at_most(limit)]].tolist()]

    def to_frame(self) -> pd.DataFrame:
        """One row a feature, the highest score first."""
        import pandas as pd

        order = self._order()
        indices = self.features[order].tolist()
        return pd.DataFrame(
            {
                "feature": indices,
                "label": [self.dictionary[index].label for index in indices],
                "score": self.score[order].tolist(),
                "gain": self.gain[order].tolist(),
                "kl": self.kl[order].tolist(),
            }
        )

    def plot(self) -> Figure:
        """The scores of all, and the best by name."""
        from steerkit.figures import spread

        best = zip(self.best(SHOWN), self.score[self._order()].tolist(), strict=False)
        marked = {f"{shorten(one.label, LETTERS, placeholder='…')} ({one.index})": score for one, score in best}
        return spread(self.score.tolist(), marked, "output score", "features")

    def _order(self) -> Int[Tensor, " n"]:
        return self.score.sort(descending=True, stable=True).indices

    def _repr_html_(self) -> str:
        rows = [
            (f"{self.dictionary[index].label} ({index})", f"{score:.3f}", f"{gain:+.3g}", f"{kl:.3g}")
            for index, score, gain, kl in (
                (int(self.features[i]), *(values[i].item() for values in (self.score, self.gain, self.kl)))
                for i in self._order()[:SHOWN].tolist()
            )
        ]
        heads = ["feature", "output score", "gain of its tokens (nats)", "KL (nats)"]
        return pages.fragment(pages.heading(str(self)), pages.table(heads, rows))

    def __repr__(self) -> str:
        return (
            f"OutputScores({len(self.features)} features of {self.dictionary.name}, best score {self.score.max():.3g})"
        )


def score_outputs(
    dictionary: Dictionary, model: Model, texts: Sequence[PromptLike], features: Sequence[int], strength: float
) -> OutputScores:
    """Add each feature at the last token of each text, and see what the next token is.

    Args:
        dictionary: The dictionary.
        model: The model.
        texts: The texts.
        features: Which features.
        strength: In multiples of the largest activation of any feature at that token.

    Raises:
        PromptError: There are no texts, or no feature is active at the last token of one.
        EditError: The strength is not above 0.
        SteerkitError: A text or the dictionary does not fit the model.
    """
    if not texts or not features:
        raise PromptError(f"There are {len(texts)} texts and {len(features)} features. Give at least one of each.")
    if not 0 < strength < float("inf"):
        raise EditError(f"strength={strength!r} must be a number above 0.")
    writes = dictionary.writes_at()
    sums, directions = torch.zeros(3, len(features)), dictionary.parts.W_dec.rows(list(features))
    own = torch.stack([model.logit_effects(row)[: len(model.tokenizer)].topk(OWN).indices for row in directions])
    prompts = as_trained(model, texts, chat=dictionary.parts.chat)
    with tqdm(total=len(prompts) * len(features), desc="Trying", unit="feature", delay=2) as bar:
        for text in model.encode_all(prompts):
            amount = strength * _largest(dictionary, model, text)
            (unsteered,) = model.next_logprobs([text], writes, lambda x, plain: x)

            def try_some(batch: list[int], text=text, amount=amount) -> Tensor:
                added = directions[batch] * amount

                def change(x: Float[Tensor, "rows tokens d"], plain: Bool[Tensor, "rows tokens"]) -> Tensor:
                    last = x[:, -1:] + added[:, None].to(x.device)
                    return torch.cat([x[:, :-1], last], dim=1)

                return model.next_logprobs([text] * len(batch), writes, change)

            for batch, steered in in_batches([len(text.prompt)] * len(features), try_some):
                sums[:, batch] += _scores(steered, unsteered, own[batch])
                bar.update(len(batch))
    score, gain, kl = sums / len(prompts)
    return OutputScores(dictionary, torch.tensor(features), score, gain, kl)


def _largest(dictionary: Dictionary, model: Model, text: Encoded) -> float:
    """The largest activation of any feature at a text's last token, as it is written."""
    site = dictionary.reads_at()
    ((_, found),) = model.activations([text], [site], tokens="last")
    codes = dictionary.encode(found[site])
    if not (codes.values > 0).any():
        raise PromptError(f"No feature is active at the last token of {text.prompt.text!r}. Give another text.")
    return codes.values.max().item() * (1.0 if codes.scale is None else codes.scale.item())


def _scores(
    steered: Float[Tensor, "rows vocabulary"], unsteered: Float[Tensor, " vocabulary"], own: Int[Tensor, "rows own"]
) -> Float[Tensor, "3 rows"]:
    """Output score, gain and KL of each row."""
    likeliest = steered.gather(1, own).amax(1)
    rank = (steered > likeliest[:, None]).sum(1) / steered.shape[1]
    gain = steered.gather(1, own).logsumexp(1) - unsteered[own].logsumexp(1)
    kl = (steered.exp() * (steered - unsteered)).sum(1).clamp_min(0)
    return torch.stack([likeliest.exp() * (1 - rank), gain, kl])
