"""What a text was written with, besides what was asked for: model, processor, versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import nnsight
import torch
import transformers

from steerkit import __version__, plan_json

if TYPE_CHECKING:
    from steerkit.model import Model
    from steerkit.plans import Plan
    from steerkit.records import Record


@dataclass(frozen=True)
class Circumstances:
    """What a text was written with, and may depend on.

    Attributes:
        model: Name or folder of the model.
        revision: Commit of its repository, or the revision asked for.
        ran: `here`, `ndif`, or `local` for a simulation of that; see `load`.
        dtype: Type of its weights.
        device: Kind of device that it was on.
        processor: Which processor that was, and what it can.
        threads: Number of threads that computed.
        dictionaries: Names of the plan's dictionaries, with their revisions.
        python: Version.
        torch: Version.
        transformers: Version.
        nnsight: Version.
        steerkit: Version.
    """

    model: str
    revision: str | None
    ran: str
    dtype: str
    device: str
    processor: str
    threads: int
    dictionaries: list[str]
    python: str
    torch: str
    transformers: str
    nnsight: str
    steerkit: str

    @classmethod
    def of(cls, model: Model, plan: Plan) -> Circumstances:
        """Those of a model and a plan, here and now."""
        device = model.device
        name = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
        return cls(
            model=model.name,
            revision=model.commit or model.revision,
            ran="local" if model.remote == "local" else "ndif" if model.remote else "here",
            dtype=str(model.dtype).removeprefix("torch."),
            device=device.type,
            processor=torch.cuda.get_device_name(device) if device.type == "cuda" else name,
            threads=torch.get_num_threads(),
            dictionaries=_revisions(plan_json.write(plan)),
            python=platform.python_version(),
            torch=torch.__version__,
            transformers=transformers.__version__,
            nnsight=nnsight.__version__,
            steerkit=__version__,
        )

    def unlike(self, other: Circumstances) -> list[str]:
        """What is not as in the other, in words."""
        pairs = [(field.name, getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]
        return [f"{name}: {mine} here, {theirs} in the recipe" for name, mine, theirs in pairs if mine != theirs]

    def how_to_load(self) -> dict[str, Any]:
        """Arguments of `load` that give the same model."""
        if self.ran == "ndif":
            return {"revision": self.revision, "remote": True}
        device = "cpu" if self.device == "cpu" else "auto"
        place = {"revision": self.revision, "dtype": self.dtype, "device": device}
        return place | ({"remote": "local"} if self.ran == "local" else {})

    @classmethod
    def read(cls, record: Record) -> Circumstances:
        """What `asdict` made of them."""
        texts = (
            "model",
            "ran",
            "dtype",
            "device",
            "processor",
            "python",
            "torch",
            "transformers",
            "nnsight",
            "steerkit",
        )
        circumstances = cls(
            revision=record.take("revision", str, None),
            threads=record.take("threads", int),
            dictionaries=record.take("dictionaries", list),
            **{name: record.take(name, str) for name in texts},
        )
        record.done()
        return circumstances


def _revisions(plan: Mapping[str, Any]) -> list[str]:
    named = plan["dictionaries"]
    return [f"{one['name']} ({one['revision'] or 'no revision'})" for one in named]
