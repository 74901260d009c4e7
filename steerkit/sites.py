"""Sites: named places in a transformer where activations are read and written.

A site is a layer and a kind, written `"12.resid_post"`. Layers count from 0. This is the only file that knows the
module names of model families; everything else speaks of sites.

| kind | activation |
|---|---|
| `resid_pre` | the residual stream as it enters the layer |
| `z` | the heads' outputs before the output projection, `n_heads * d_head` wide |
| `attn_out` | what attention adds to the residual stream (Gemma 2 and 3: after the post-norm) |
| `resid_mid` | the residual stream between attention and MLP (not in parallel layers) |
| `mlp_in` | what the MLP reads: the normed stream, with the norm's gain and bias |
| `mlp_in_normalized` | the same without gain and bias (TransformerLens: `ln2.hook_normalized`) |
| `mlp_post` | the MLP's hidden units, before its output projection |
| `mlp_out` | what the MLP adds to the residual stream (Gemma 2 and 3: after the post-norm) |
| `resid_post` | the residual stream as it leaves the layer |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from steerkit.errors import ModelError, SiteError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig

KINDS = (  # in the order in which a layer computes them
    "resid_pre",
    "z",
    "attn_out",
    "resid_mid",
    "mlp_in",
    "mlp_in_normalized",
    "mlp_post",
    "mlp_out",
    "resid_post",
)


@dataclass(frozen=True)
class Site:
    """A layer and a kind.

    Example:
        >>> Site.parse("12.resid_post")
        Site(layer=12, kind='resid_post')
        >>> str(Site(3, "mlp_out"))
        '3.mlp_out'
    """

    layer: int
    kind: str

    @classmethod
    def parse(cls, site: str | Site) -> Site:
        """Read `"12.resid_post"`.

        Raises:
            SiteError: The text is not `layer.kind` with a known kind.
        """
        if isinstance(site, Site):
            return site
        layer, _, kind = str(site).partition(".")
        if not layer.isdecimal() or kind not in KINDS:
            raise SiteError(
                f"{site!r} is no site. A site is a layer, a dot and a kind, such as '3.resid_post'; "
                f"the kinds are {', '.join(KINDS)}."
            )
        return cls(int(layer), kind)

    def __str__(self) -> str:
        return f"{self.layer}.{self.kind}"

    @property
    def depth(self) -> tuple[int, int]:
        """Sorts sites in the order in which a forward pass reaches them."""
        return self.layer, KINDS.index(self.kind)


@dataclass(frozen=True)
class Location:
    """Where a site's activation stands among the modules of one model.

    Attributes:
        module: Dotted path from the model.
        port: `"input"` or `"output"` of that module.
        added_to: For `resid_mid`: the layer whose input has to be added to what stands at the port.
        norm: For `mlp_in_normalized`: the norm whose gain and bias have to be taken out.
        gain_offset: What the norm adds to its weight to make the gain (Gemma: 1).
    """

    module: str
    port: str
    added_to: str | None = None
    norm: str | None = None
    gain_offset: float = 0.0


@dataclass(frozen=True)
class Ending:
    """What stands between the last layer and the unembedding, as dotted paths from the model.

    Attributes:
        norm: The final norm; None if there is none.
        projection: What changes the width to that of the embedding, where a model has it.
    """

    norm: str | None
    projection: str | None = None


@dataclass(frozen=True)
class Family:
    """Module names of one family of models, relative to a layer; and its ending, if known."""

    layers: str
    ending: Ending | None = None
    attention: str = "self_attn"
    z: str = "self_attn.o_proj"
    attn_out: str = "self_attn"
    mlp_norm: str = "post_attention_layernorm"
    mlp: str = "mlp"
    mlp_post: str = "mlp.down_proj"
    mlp_out: str = "mlp"
    gain_offset: float = 0.0
    kinds: tuple[str, ...] = KINDS


LLAMA = Family(layers="model.layers", ending=Ending("model.norm"))
GEMMA = replace(LLAMA, gain_offset=1.0)
GEMMA_POST_NORM = replace(
    GEMMA,
    attn_out="post_attention_layernorm",
    mlp_norm="pre_feedforward_layernorm",
    mlp_out="post_feedforward_layernorm",
)
GEMMA_3_WITH_VISION = replace(
    GEMMA_POST_NORM, layers="model.language_model.layers", ending=Ending("model.language_model.norm")
)
GPT2 = Family(
    layers="transformer.h",
    ending=Ending("transformer.ln_f"),
    attention="attn",
    z="attn.c_proj",
    attn_out="attn",
    mlp_norm="ln_2",
    mlp_post="mlp.c_proj",
)
GPT_NEO = Family(
    layers="transformer.h",
    ending=Ending("transformer.ln_f"),
    attention="attn",
    z="attn.attention.out_proj",
    attn_out="attn",
    mlp_norm="ln_2",
    mlp_post="mlp.c_proj",
)
GPT_NEOX = Family(
    layers="gpt_neox.layers",
    ending=Ending("gpt_neox.final_layer_norm"),
    attention="attention",
    z="attention.dense",
    attn_out="attention",
    mlp_post="mlp.dense_4h_to_h",
)
OPT = Family(
    layers="model.decoder.layers",
    ending=Ending("model.decoder.final_layer_norm", projection="model.decoder.project_out"),
    z="self_attn.out_proj",
    mlp_norm="final_layer_norm",
    mlp="fc1",
    mlp_post="fc2",
    mlp_out="fc2",
)
OPT_POST_NORM = replace(  # the sums of stream and branch are normed before they go on
    OPT,
    ending=Ending(None, projection="model.decoder.project_out"),
    mlp_norm="self_attn_layer_norm",
    kinds=("resid_pre", "z", "mlp_in", "mlp_in_normalized", "mlp_post", "resid_post"),
)
PHI = Family(
    layers="model.layers",
    ending=Ending("model.final_layernorm"),
    z="self_attn.dense",
    mlp_norm="input_layernorm",
    mlp_post="mlp.fc2",
)

FAMILIES = {
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gemma": GEMMA,
    "gemma2": GEMMA_POST_NORM,
    "gemma3_text": GEMMA_POST_NORM,
    "gemma3": GEMMA_3_WITH_VISION,
    "gpt2": GPT2,
    "gpt_neo": GPT_NEO,
    "gpt_neox": GPT_NEOX,
    "opt": OPT,
    "phi": PHI,
}

STREAM_ONLY = ("resid_pre", "resid_post")
ADDED_TO_STREAM = ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")


class SiteMap:
    """The sites of one model, and where each stands among its modules."""

    def __init__(self, model: torch.nn.Module, name: str) -> None:
        config = model.config
        text_config = config.get_text_config()
        self.name = name
        self.n_layers: int = text_config.num_hidden_layers
        self.d_model: int = text_config.hidden_size
        self.family = _known_family(config) or _unknown_family(model, self.n_layers, name)
        self.kinds = tuple(kind for kind in self.family.kinds if _has_kind(config, kind))

    def __iter__(self):
        return (Site(layer, kind) for layer in range(self.n_layers) for kind in self.kinds)

    def check(self, site: str | Site) -> Site:
        """Return the site if this model has it.

        Raises:
            SiteError: It does not.
        """
        site = Site.parse(site)
        if not 0 <= site.layer < self.n_layers:
            raise SiteError(
                f"{self.name} has no site '{site}': its layers are 0 to {self.n_layers - 1}. "
                f"Did you mean '{self.n_layers - 1}.{site.kind}'?"
            )
        if site.kind not in self.kinds:
            raise SiteError(f"{self.name} has no site '{site}': the kinds of its layers are {', '.join(self.kinds)}.")
        return site

    def locate(self, site: Site) -> Location:
        """Where the site's activation stands."""
        family = self.family
        layer = f"{family.layers}.{site.layer}"
        match site.kind:
            case "resid_pre":
                return Location(layer, "input")
            case "resid_post":
                return Location(layer, "output")
            case "z":
                return Location(f"{layer}.{family.z}", "input")
            case "attn_out":
                return Location(f"{layer}.{family.attn_out}", "output")
            case "resid_mid":
                # No module gives it out, and writing into the next norm's input would miss the skip connection.
                return Location(f"{layer}.{family.attn_out}", "output", added_to=layer)
            case "mlp_in":
                return Location(f"{layer}.{family.mlp}", "input")
            case "mlp_in_normalized":
                norm = f"{layer}.{family.mlp_norm}"
                return Location(f"{layer}.{family.mlp}", "input", norm=norm, gain_offset=family.gain_offset)
            case "mlp_post":
                return Location(f"{layer}.{family.mlp_post}", "input")
            case _:
                return Location(f"{layer}.{family.mlp_out}", "output")

    def attention(self, layer: int) -> str:
        """Path of the module that attends in a layer.

        Raises:
            SiteError: There is no such layer, or the model's attention is not known.
        """
        self.check(Site(layer, "z"))
        return f"{self.family.layers}.{layer}.{self.family.attention}"

    def anchor(self) -> Location:
        """The first place that every forward pass reaches."""
        return Location(f"{self.family.layers}.0", "input")

    def width(self, model: torch.nn.Module, site: Site) -> int:
        """Width of the site's activation."""
        if site.kind not in ("z", "mlp_post"):
            return self.d_model
        projection = model.get_submodule(self.locate(site).module)
        # GPT-2's Conv1D stores (in, out); Linear knows its in_features.
        return getattr(projection, "in_features", None) or projection.weight.shape[0]


def _has_kind(config: PreTrainedConfig, kind: str) -> bool:
    # in parallel layers attention and MLP both read resid_pre
    parallel = config.model_type == "phi" or getattr(config, "use_parallel_residual", False)
    return kind != "resid_mid" or not parallel


def _known_family(config: PreTrainedConfig) -> Family | None:
    if config.model_type == "opt" and not config.do_layer_norm_before:
        return OPT_POST_NORM
    return FAMILIES.get(config.model_type)


def _unknown_family(model: torch.nn.Module, n_layers: int, name: str) -> Family:
    from torch.nn import ModuleList

    lists = [
        path for path, module in model.named_modules() if isinstance(module, ModuleList) and len(module) == n_layers
    ]
    if len(lists) != 1:
        raise ModelError(
            f"{name} is of the type '{model.config.model_type}', whose layers could not be found. "
            f"Types that are known: {', '.join(FAMILIES)}."
        )
    return Family(layers=lists[0], kinds=STREAM_ONLY)
