"""What generating gives back: `Run`, `Comparison` and `Sweep`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

from steerkit import pages
from steerkit.counts import whole
from steerkit.errors import SettingError
from steerkit.plans import Plan
from steerkit.program import Column
from steerkit.tokens import Prompt

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float
    from matplotlib.figure import Figure
    from torch import Tensor

NGRAM = 4

STOPPED = {
    "end": "the text ended",
    "length": "stopped at the length asked for",
    "cancelled": "cancelled",
    "condition": "stopped on a condition",
    "overflow": "stopped: the steered activations left the range of numbers; use a smaller strength",
}


@dataclass(frozen=True)
class Settings:
    """Settings that a run was made with; see `Model.generate`.

    Raises:
        SettingError: One of them is out of range.
    """

    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int

    def __post_init__(self) -> None:
        length, seed = whole(self.max_new_tokens), whole(self.seed)
        if length is None or length < 1:
            raise SettingError(f"max_new_tokens={self.max_new_tokens!r} is no length. Give a whole number from 1.")
        if not isinstance(self.temperature, Real) or not 0 <= self.temperature < float("inf"):
            raise SettingError(f"temperature={self.temperature!r} is out of range. Give 0 (greedy) or more.")
        if not isinstance(self.top_p, Real) or not 0 < self.top_p <= 1:
            raise SettingError(f"top_p={self.top_p!r} is out of range. Give a share above 0, up to 1.")
        if seed is None or not 0 <= seed < 2**63:
            raise SettingError(f"seed={self.seed!r} is no seed. Give a whole number from 0 to 2**63 - 1.")
        object.__setattr__(self, "max_new_tokens", length)
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "temperature", float(self.temperature))
        object.__setattr__(self, "top_p", float(self.top_p))


@dataclass(frozen=True, eq=False)
class Run:
    """A text that a model wrote, with what was measured on the way.

    Attributes:
        prompt: What it was written from.
        plan: The edits it was written under.
        settings: How tokens were chosen.
        token_ids: Ids of the new tokens, the one that ended the text included.
        tokens: Text of each new token; special tokens by name.
        special: Whether each new token is special.
        logprobs: (n_tokens,) log-probability in nats of each new token under the steered model at temperature 1.
        coefficients: (n_tokens, n_columns) coefficient of each edit at each new token's own position, as it came in,
            before that site's edits. NaN where a token was written before the edit joined.
        columns: What the columns of `coefficients` belong to.
        stopped: Why the text ended: `end`, `length`, `cancelled`, `condition` or `overflow`.
        unsteered_logprobs: (n_tokens,) the same under the unsteered model; measured by `compare`, `sweep` and
            `Model.rescore`.
    """

    prompt: Prompt
    plan: Plan
    settings: Settings
    token_ids: list[int]
    tokens: list[str]
    special: list[bool]
    logprobs: Float[Tensor, " n_tokens"]
    coefficients: Float[Tensor, "n_tokens n_columns"]
    columns: tuple[Column, ...]
    stopped: str
    unsteered_logprobs: Float[Tensor, " n_tokens"] | None = None

    @property
    def text(self) -> str:
        """The new text without special tokens; prints right after the prompt."""
        return "".join(token for token, special in zip(self.tokens, self.special, strict=True) if not special)

    @property
    def nats(self) -> float | None:
        """Nats a token of the new text under the unsteered model; high is unlikely text."""
        if self.unsteered_logprobs is None or not len(self.unsteered_logprobs):
            return None
        return -self.unsteered_logprobs.mean().item()

    @property
    def repetition(self) -> float:
        """Share of the new text's 4-grams of tokens that stood in it before; loops raise it."""
        grams = list(zip(*(self.token_ids[start:] for start in range(NGRAM)), strict=False))
        return 1 - len(set(grams)) / len(grams) if grams else 0.0

    def to_frame(self) -> pd.DataFrame:
        """One row a new token."""
        import pandas as pd

        frame = pd.DataFrame({"token": self.tokens, "token_id": self.token_ids, "logprob": self.logprobs.tolist()})
        if self.unsteered_logprobs is not None:
            frame["unsteered_logprob"] = self.unsteered_logprobs.tolist()
        for name, values in zip(names(self.columns), self.coefficients.T.tolist(), strict=True):
            frame[name] = values
        return frame

    def plot(self) -> Figure:
        """Coefficients (or, without edits, log-probabilities) along the new text."""
        from steerkit.figures import along_tokens

        if not self.columns:
            return along_tokens(self.tokens, [self.logprobs.tolist()], ["log-probability"], "nats")
        return along_tokens(self.tokens, self.coefficients.T.tolist(), names(self.columns), "coefficient")

    def describe(self) -> str:
        """How it was made and how it reads, in one line."""
        parts = [f"{len(self.tokens)} tokens", str(self.plan), STOPPED[self.stopped]]
        if self.nats is not None:
            parts.append(f"{self.nats:.2f} nats a token under the unsteered model")
            parts.append(f"{self.repetition:.0%} of 4-grams repeated")
        return " · ".join(parts)

    def block(self, title: str, differs: list[bool] | None = None) -> str:
        """The run as part of an HTML page."""
        body = pages.tokens(
            self.tokens,
            self.special,
            self.coefficients.T.tolist(),
            names(self.columns),
            differs or (),
            self.prompt.text,
        )
        return pages.heading(title) + body + pages.note(self.describe())

    def _repr_html_(self) -> str:
        return pages.fragment(self.block("Run"))

    def __repr__(self) -> str:
        return f"Run({self.text!r}, {self.plan})"


@dataclass(frozen=True, eq=False)
class Comparison:
    """The same prompt and noise without and with edits.

    Attributes:
        baseline: The unsteered run.
        steered: The steered run.
        kl: (n_tokens,) KL(steered ‖ baseline) in nats over the vocabulary at temperature 1, where each token of the
            steered text was predicted, both given the prompt and the steered tokens before it.
    """

    baseline: Run
    steered: Run
    kl: Float[Tensor, " n_tokens"]

    @property
    def differs(self) -> list[bool]:
        """For each token of the steered text, whether the baseline has another one there."""
        ids = self.baseline.token_ids
        return [i >= len(ids) or ids[i] != token_id for i, token_id in enumerate(self.steered.token_ids)]

    def to_frame(self) -> pd.DataFrame:
        """One row a token of the steered text."""
        frame = self.steered.to_frame()
        frame["kl"] = self.kl.tolist()
        frame["differs"] = self.differs
        return frame

    def plot(self) -> Figure:
        """KL along the steered text."""
        from steerkit.figures import along_tokens

        return along_tokens(self.steered.tokens, [self.kl.tolist()], ["KL(steered ‖ baseline)"], "nats")

    def _repr_html_(self) -> str:
        return pages.fragment(self.block())

    def block(self) -> str:
        """The two texts side by side, as part of an HTML page."""
        return pages.columns(self.baseline.block("Baseline"), self.steered.block("Steered", self.differs))

    def __repr__(self) -> str:
        return f"Comparison(baseline={self.baseline.text!r}, steered={self.steered.text!r})"


@dataclass(frozen=True, eq=False)
class Sweep:
    """The same prompt and noise at several strengths of one edit.

    Attributes:
        strengths: The strengths, in the order given.
        runs: A run for each.
    """

    strengths: list[float]
    runs: list[Run]

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __getitem__(self, index: int) -> Run:
        return self.runs[index]

    def to_frame(self) -> pd.DataFrame:
        """One row a strength."""
        import pandas as pd

        return pd.DataFrame(
            {
                "strength": self.strengths,
                "text": [run.text for run in self.runs],
                "tokens": [len(run.tokens) for run in self.runs],
                "nats": [run.nats for run in self.runs],
                "repetition": [run.repetition for run in self.runs],
                "stopped": [run.stopped for run in self.runs],
            }
        )

    def plot(self) -> Figure:
        """Fluency by strength."""
        from steerkit.figures import by_strength

        return by_strength(self.strengths, [run.nats for run in self.runs], [run.repetition for run in self.runs])

    def _repr_html_(self) -> str:
        return pages.fragment(
            *(run.block(f"Strength {s:+g}") for s, run in zip(self.strengths, self.runs, strict=True))
        )

    def __repr__(self) -> str:
        return f"Sweep(strengths={self.strengths})"


def names(columns: tuple[Column, ...]) -> list[str]:
    """A heading for each column, with its site and number where labels alone would be ambiguous."""
    found: dict[tuple[str, object], int] = {}
    headings = []
    for column in columns:
        if sum(column.label == other.label for other in columns) == 1:
            headings.append(column.label)
            continue
        place = column.label, column.site
        found[place] = found.get(place, 0) + 1
        number = f" ({found[place]})" if found[place] > 1 else ""
        headings.append(f"{column.label} @ {column.site}{number}")
    return headings
