"""Control vectors in GGUF, which llama.cpp, repeng and EasySteer read. Needs the package `gguf`.

A tensor `direction.N` is added to what leaves layer N, counted from 0: `N.resid_post`. llama.cpp takes N from 1 on,
float32, one dimension, all of one width, and no other tensor; else it refuses the whole file. repeng wants the metadata
`controlvector.model_hint`. EasySteer starts at layer 0, and adds what it knows of the method. Offsets and provenance
are written as JSON into the metadata `controlvector.steerkit`, which the others pass over.

Source: `common_control_vector_load` and `gguf_init_from_file` of llama.cpp; repeng 0.4; EasySteer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gguf import GGUFReader, GGUFWriter
from typing_extensions import override

from steerkit.errors import VectorError
from steerkit.records import Record
from steerkit.sites import Site
from steerkit.vectors.content import Content
from steerkit.vectors.provenance import Provenance

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

ARCHITECTURE = "controlvector"
TENSOR, KIND = "direction", "resid_post"
ANNOTATIONS = "steerkit"


def write(path: Path, content: Content, model_type: str) -> None:
    """Write a vector.

    Args:
        path: The file.
        content: The vector.
        model_type: Type of its model, for repeng.

    Raises:
        VectorError: It has a direction at layer 0, at what is no layer's output, or of another width than the others.
    """
    _refuse_unloadable(content)
    writer = GGUFWriter(path, ARCHITECTURE)
    try:
        writer.add_string(f"{ARCHITECTURE}.model_hint", model_type)
        writer.add_uint32(f"{ARCHITECTURE}.layer_count", len(content.directions))
        writer.add_string(f"{ARCHITECTURE}.{ANNOTATIONS}", json.dumps(content.annotations(), allow_nan=False))
        for site, direction in content.directions.items():
            writer.add_tensor(f"{TENSOR}.{site.layer}", direction.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def read(path: Path) -> Content:
    """Read a vector.

    Raises:
        VectorError: The file is damaged, or holds other things than directions.
        PlanError: What steerkit wrote about them is damaged.
    """
    try:
        reader = _Bounded(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
    except OSError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise VectorError(f"'{path}' is no complete GGUF file: {error}. Get it again.") from error
    prefix = f"{ARCHITECTURE}."
    said = {name.removeprefix(prefix): fields[name] for name in fields if name.startswith(prefix)}
    directions = {_site(path, tensor.name): _direction(path, tensor.name, tensor.data) for tensor in reader.tensors}
    if not directions:
        raise VectorError(f"'{path}' has no tensors. Give the file of a control vector.")
    if ANNOTATIONS not in said:
        return Content(directions, path.stem, {}, _provenance(said))
    return Content.annotated(directions, Record.parse(said[ANNOTATIONS], f"what '{path}' says of its vector"))


class _Bounded(GGUFReader):
    """A reader that stops at the end of the file; numpy gives fewer numbers there, and it would go on."""

    @override
    def _get(self, offset: int, dtype: Any, count: Any = 1, override_order: Any = None) -> np.ndarray:
        if int(offset) + int(count) * np.dtype(dtype).itemsize > len(self.data):
            raise ValueError(f"it is {len(self.data):,} bytes long, and declares more")
        return super()._get(offset, dtype, count, override_order)


def _refuse_unloadable(content: Content) -> None:
    kept = "Save it as safetensors: vector.save('vector.safetensors')."
    for site in content.directions:
        if site.kind != KIND:
            raise VectorError(
                f"{content.label!r} has a direction at '{site}'; a control vector is added to what leaves a layer: "
                f"'{site.layer}.{KIND}'. {kept}"
            )
        if site.layer == 0:
            raise VectorError(
                f"{content.label!r} has a direction at '{site}', and llama.cpp cannot load a control vector with "
                f"layer 0. Leave that layer out. {kept}"
            )
    widths = {len(direction): site for site, direction in content.directions.items()}
    if len(widths) > 1:
        found = ", ".join(f"{width} at '{site}'" for width, site in widths.items())
        raise VectorError(f"{content.label!r} is of several widths ({found}); llama.cpp loads one. {kept}")


def _site(path: Path, name: str) -> Site:
    start, _, layer = name.partition(".")
    if start != TENSOR or not layer.isdecimal() or layer != str(int(layer)):
        raise VectorError(
            f"'{path}' has a tensor {name!r}; those of a control vector are called '{TENSOR}.N' by their layer N."
        )
    return Site(int(layer), KIND)


def _direction(path: Path, name: str, values: np.ndarray) -> Float[Tensor, " width"]:
    if values.dtype.kind != "f" or values.ndim != 1:
        raise VectorError(
            f"'{name}' of '{path}' is of the type {values.dtype} and the shape {values.shape}; "
            "a direction is one row of floating-point numbers, not quantised."
        )
    return torch.from_numpy(values.astype(np.float32))


def _provenance(said: Mapping[str, object]) -> Provenance:
    """What other programs say of how a vector was made."""
    texts = {name: value for name, value in said.items() if isinstance(value, str)}
    numbers = {name: value for name, value in said.items() if isinstance(value, int | float) and math.isfinite(value)}
    quality: dict[str, dict[str, float]] = {}
    for name, value in numbers.items():
        measure, _, layer = name.rpartition(".")
        if measure and layer.isdecimal():
            quality.setdefault(measure.replace("_", " "), {})[str(Site(int(layer), KIND))] = float(value)
    counts = {name: int(numbers[name]) if name in numbers else None for name in ("n_positive", "n_negative")}
    return Provenance(
        method=texts.get("method", "gguf"),
        token=texts.get("token_pos", f"{numbers['token_pos']:g}" if "token_pos" in numbers else None),
        positives=counts["n_positive"],
        negatives=counts["n_negative"],
        quality=quality,
    )
