"""A reading of thousands of tokens, made of a short one over and over."""

import dataclasses

import torch

import steerkit as sk
from steerkit.dictionaries.codes import Codes


def repeated(reading: sk.Reading, n_tokens: int) -> sk.Reading:
    """A reading of one dictionary, so many times that it has at least `n_tokens`."""
    many = -(-n_tokens // len(reading.tokens))
    prompt = sk.Prompt(*(getattr(reading.prompt, f.name) * many for f in dataclasses.fields(reading.prompt)))
    ((features, codes),) = reading.codes
    longer = Codes(
        shape=(len(prompt), features.n_features),
        starts=torch.cat([torch.zeros(1, dtype=torch.long), codes.starts.diff().repeat(many).cumsum(0)]),
        features=codes.features.repeat(many),
        values=codes.values.repeat(many),
    )
    return dataclasses.replace(
        reading, prompt=prompt, codes=((features, longer),), coefficients=torch.zeros(len(prompt), 0)
    )
