"""A feature as part of an HTML page: what it is called, where it is, and when it is active."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerkit import pages
from steerkit.dictionaries.calibration import BINS, LOWEST, Calibration

if TYPE_CHECKING:
    from steerkit.dictionaries.feature import Feature

BIN_STARTS = [LOWEST * 2 ** (b / 2) for b in range(BINS)]


def card(feature: Feature) -> str:
    """All that is known of a feature; more where its dictionary is calibrated."""
    dictionary, index = feature.dictionary, feature.index
    where = dictionary.site_out or "an unknown site"
    facts = [f"Feature {index:,} of {dictionary.name}", f"written at {where}", f"direction {feature.decoder_norm:.4g}"]
    if feature.max_activation is not None:
        source = "published" if dictionary.calibration is None else "calibrated"
        facts.append(f"maximum activation {feature.max_activation:.4g} ({source})")
    labels = [f"{label.text} ({label.source})" for label in dictionary.labels.get([index])[index][1:]]
    return "".join(
        [
            pages.heading(feature.label),
            pages.note("; ".join(facts)),
            pages.note("Also: " + "; ".join(labels)) if labels else "",
            "" if dictionary.calibration is None else _measured(dictionary.calibration, index),
        ]
    )


def _measured(calibration: Calibration, index: int) -> str:
    density = calibration.density[index].item()
    passages = (pages.passage(*rest, value) for value, *rest in calibration.passages(index))
    return "".join(
        [
            pages.note(f"Active at {density:.2%} of tokens; {calibration.corpus}"),
            pages.histogram(calibration.histogram[index].tolist(), BIN_STARTS, "Activations by size"),
            *passages,
        ]
    )
