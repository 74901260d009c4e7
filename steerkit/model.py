"""`Model`: a transformer that can be read and steered."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from steerkit import embedded, loading
from steerkit.dictionaries import catalog
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.load import load_dictionary
from steerkit.engines import tracing
from steerkit.errors import DictionaryError, EngineError, ModelError
from steerkit.generates import Generates
from steerkit.plans import EditsLike, Plan
from steerkit.reads import Reads
from steerkit.sites import Site

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load(
    model: str | os.PathLike[str] | PreTrainedModel = embedded.NAME,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    device: str = "auto",
    dtype: str | torch.dtype = "auto",
    revision: str | None = None,
    remote: bool | str = False,
    trust_remote_code: bool = False,
) -> Model:
    """Load a causal language model.

    Args:
        model: A name on the Hugging Face hub, a folder, or a transformers model in memory (which is left as it is: its
            modules are copied, its weights shared). Without one, the storybook model that comes with steerkit.
        tokenizer: Needed for a model in memory; else the one beside the model.
        device: `"auto"` (all GPUs there are, else the processor), or a torch device.
        dtype: `"auto"` (the checkpoint's own; float32 on a processor), or a torch dtype.
        revision: Branch, tag or commit on the hub.
        remote: True to run on NDIF through nnsight; `"local"` for nnsight's simulation of it.
        trust_remote_code: Run Python code that the model's repository brings. Only for repositories you trust.

    Raises:
        ModelError: There is no such model, or it is of a kind that is not served.

    Example:
        >>> load().n_layers
        6
    """
    if remote is True:
        if not isinstance(model, str):
            raise ModelError("A model on NDIF is given by its name on the hub, such as 'meta-llama/Llama-3.1-8B'.")
        lm = loading.load_remote(model, revision=revision, trust_remote_code=trust_remote_code)
        return Model(lm, name=model, revision=revision, remote=True)
    if remote not in (False, "local"):
        raise ModelError(f"remote={remote!r} is not known; it is False, True (NDIF) or 'local' (a simulation of it).")
    if isinstance(model, torch.nn.Module):
        if tokenizer is None:
            raise ModelError("A model in memory needs its tokenizer: load(model, tokenizer=tokenizer).")
        if (device, dtype, revision) != ("auto", "auto", None):
            raise ModelError("A model in memory stays where and as it is. Move it first, such as model.to('cuda').")
        return Model(loading.wrap(model, tokenizer), name=model.name_or_path or type(model).__name__, remote=remote)
    if not isinstance(model, str | os.PathLike):
        raise ModelError(f"{model!r} is no model. Give a name on the hub, a folder, or a transformers model.")
    lm = loading.load_files(
        model,
        device=device,
        dtype=dtype,
        revision=revision,
        tokenizer=tokenizer,
        trust_remote_code=trust_remote_code,
    )
    folder = embedded.find(model) is None and os.path.isdir(model)
    name = os.path.realpath(model) if folder else str(model)  # one name, however the folder was written
    return Model(lm, name=name, revision=revision, remote=remote)


class Model(Reads, Generates):
    """A transformer with helpers to read and steer it. Made by `load`; its attributes are those of `Loaded`."""

    def dictionary(self, site: str | Site | None = None) -> Dictionary:
        """The model's default dictionary, or another of those that come with it.

        One that comes with the model: storybook's, or one in the folder `dictionaries` of the model's own. For other
        models the one that the catalog lists, if it lists no other.

        Args:
            site: Where it reads, or the name of its folder, such as `"reft_l4"`. Without it, the one in the middle of
                those that are named after their site.

        Raises:
            DictionaryError: There is none, or the catalog lists several.
        """
        at = "" if site is None else f" at {site}"
        names = {name.rpartition("/")[2]: name for name in embedded.dictionaries(self.name)}
        if site is not None and str(site) in names:
            return load_dictionary(names[str(site)])
        by_site = [name for place, name in names.items() if embedded.layer(place) is not None]
        if site is None and by_site:
            return load_dictionary(by_site[len(by_site) // 2])
        if names:
            raise DictionaryError(f"{self.name} comes with no dictionary{at}. It has {', '.join(names)}.")
        listed = [entry.name for entry in catalog.of_model(self.name) if site is None or entry.site_in == str(site)]
        if len(listed) == 1:
            return load_dictionary(listed[0])
        found = f"lists {len(listed)} dictionaries" if listed else "lists no dictionary"
        few = f" ({', '.join(listed[:3])}{', ...' if len(listed) > 3 else ''})" if listed else ""
        raise DictionaryError(
            f"The catalog {found} of {self.name}{at}{few}. Choose one with steerkit.catalog.search, "
            "and load it with steerkit.load_dictionary."
        )

    @contextmanager
    def steer(self, edits: EditsLike) -> Iterator[None]:
        """Steer every nnsight trace and generate of `model.nnsight` inside the block.

        What this model itself generates and reads inside the block is steered too, baselines included.

        Example:
            >>> with model.steer([joy.add(2)]):  # doctest: +SKIP
            ...     with model.nnsight.trace("One day"):
            ...         logits = model.nnsight.output.logits.save()

        Raises:
            SteerkitError: An edit does not fit the model.
            EngineError: The model runs remotely.
        """
        self._runner.refuse_remote("steer")
        plan = Plan(edits)
        if plan.actions or any(edit.where.chat for edit in plan):
            raise EngineError(f"'{plan}': roles, messages and actions need a text of this model's own; use generate.")
        live = self._runner.live(self._runner.compile([plan]), replaceable=True)
        with tracing.attached(self.nnsight, live):
            yield

    def __repr__(self) -> str:
        where = {True: "NDIF", "local": f"{self.device}, as NDIF would", False: self.device}[self.remote]
        return f"Model({self.name!r}, {self.n_layers} layers of width {self.d_model}, on {where})"
