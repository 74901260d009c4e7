"""From texts to a vector: what all methods share that fit a direction to activations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from steerkit.errors import SettingError, SiteError, VectorError
from steerkit.learn.feature_basis import by_site, fit_in_features
from steerkit.learn.quality import draw_held_out, measure
from steerkit.learn.samples import Samples
from steerkit.sites import Site
from steerkit.vectors.provenance import Provenance
from steerkit.vectors.vector import Vector

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.learn.examples import Examples
    from steerkit.learn.samples import Fit
    from steerkit.model import Model

HELD_OUT = 0.25
KEPT = 2**30  # bytes of activations that are kept at once; more sites than fit take another pass over the texts


def learn(
    model: Model,
    examples: Examples,
    fit: Fit,
    *,
    method: str,
    sites: Sequence[str | Site] | None,
    tokens: str,
    features: Dictionary | Sequence[Dictionary],
    held_out: float,
    seed: int,
    label: str,
) -> Vector:
    """Learn a direction at each site, measure it on held-out texts, and say how it was made.

    Args:
        model: The model.
        examples: The texts.
        fit: Makes a direction of the activations at one site.
        method: Name for the provenance.
        sites: As for `mean_difference`, like the rest.
        tokens: Which tokens are read.
        features: Dictionaries in whose features it is learned.
        held_out: Share of the texts on which quality is measured.
        seed: Draws them.
        label: Name of the vector.

    Raises:
        SteerkitError: As `mean_difference`, or what the method itself refuses.
    """
    if not 0 <= held_out < 1:
        raise SettingError(f"held_out={held_out!r} must be a share of the texts, from 0 to less than 1.")
    bases = by_site(features)
    places = _places(model, sites, bases)
    examples = examples.encode(model)
    n, m = len(examples.positives), len(examples.negatives)
    kept_back = draw_held_out(n, m, held_out, seed, paired=examples.paired)

    def fitted(samples: Samples) -> tuple[Float[Tensor, " width"], dict[str, float]]:
        basis = bases.get(samples.site)
        return (fit(samples), {}) if basis is None else fit_in_features(basis, fit, samples)

    directions, offsets, weights, quality = {}, {}, {}, {}
    for samples in _read(model, examples, places, tokens):
        site = samples.site
        direction, weights[str(site)] = fitted(samples)
        if not direction.norm() > 0:
            raise VectorError(
                f"The two sides have the same mean at '{site}' at what is read, so there is no direction from one to "
                "the other. Read other tokens, or a deeper site."
            )
        towards, away = samples.means
        directions[site], offsets[site] = direction, (direction @ (towards + away) / 2).item()
        for name, value in measure(samples, direction, lambda some: fitted(some)[0], kept_back).items():
            quality.setdefault(name, {})[str(site)] = value
    made = Provenance(
        method=method,
        model=model.name,
        revision=model.commit or model.revision,
        token=tokens,
        positives=n,
        negatives=m,
        data=digest(examples),
        seed=seed,
        quality=quality,
        dictionaries={str(site): bases[site].name for site in places if site in bases},
        weights={site: of_features for site, of_features in weights.items() if of_features},
    )
    return Vector(directions, label, offsets, made)


def digest(examples: Examples) -> str:
    """The start of the SHA-256 of the token ids of both sides: equal for equal examples of one tokenizer."""
    ids = [[text.prompt.ids for text in side] for side in (examples.positives, examples.negatives)]
    return f"sha256 {hashlib.sha256(repr(ids).encode()).hexdigest()[:12]}"


def _places(model: Model, sites: Sequence[str | Site] | None, bases: dict[Site, Dictionary]) -> list[Site]:
    if sites is None:
        sites = list(bases) or [Site(layer, "resid_post") for layer in range(model.n_layers)]
    places = sorted({Site.parse(site) for site in sites}, key=lambda site: site.depth)
    missing = [str(site) for site in places if bases and site not in bases]
    if not places or missing:
        given = f"features= has no dictionary that reads at {', '.join(missing)}" if missing else "There is no site"
        raise SiteError(f"{given}. Give sites such as ['3.resid_post'], or none for all that there are.")
    return places


def _read(model: Model, examples: Examples, places: Sequence[Site], tokens: str) -> Iterator[Samples]:
    """Activations at one site after another."""
    texts = [*examples.positives, *examples.negatives]
    n_rows = sum(len(text.prompt) - text.start for text in texts) if tokens in ("every", "all") else len(texts)
    at_once = max(1, KEPT // (4 * model.d_model * n_rows))
    for start in range(0, len(places), at_once):
        gathered = model.gather(texts, places[start : start + at_once], tokens=tokens)
        for site, rows in gathered.activations.items():
            finite = rows.isfinite().all(-1)
            if not finite.all():
                text = texts[int(gathered.text[~finite][0])]
                raise VectorError(
                    f"The activation at '{site}' of the text {text.prompt.text!r} has NaN or infinite numbers. Load "
                    "the model in another dtype, or take the text out."
                )
            paired = examples.paired and tokens in ("last", "mean")
            yield Samples(site, rows, gathered.text, len(examples.positives), paired)
