from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny
import torch
from torch import nn
from transformers import AutoModelForCausalLM, Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel

import steerkit as sk

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@dataclass(frozen=True)
class Subject:
    """A steerkit model and the plain one that it has to agree with."""

    model: sk.Model
    plain: nn.Module
    prompt: str

    @property
    def site(self) -> str:
        return f"{self.model.n_layers // 2}.resid_post"

    def ids(self, text: str | None = None) -> list[int]:
        return list(self.model.encode(self.prompt if text is None else text).ids)

    def vector(self, seed: int = 0, site: str | None = None, norm: float = 1.0) -> sk.Vector:
        """A random direction whose length is `norm` times that of the activations there."""
        site = site or self.site
        usual = self.model.last_activations([self.prompt], [site])[sk.Site.parse(site)].norm().item()
        direction = torch.randn(self.model.d_model, generator=torch.Generator().manual_seed(seed))
        return sk.Vector({site: direction / direction.norm() * usual * norm}, f"v{seed}")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Several test processes share the cores, and spinning threads would starve each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def unchecked():
    """Types in annotations are not checked, as for a user."""
    from jaxtyping import config

    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def folder(name: str) -> Path:
    path = DATA / "models" / name
    if not path.is_dir():
        pytest.skip(f"the model {name} is not in shared/data/models")
    return path


def from_folder(name: str) -> Subject:
    path = folder(name)
    plain = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    return Subject(sk.load(path), plain, "Once upon a time, there was a dog. One day, he")


def from_config(plain: nn.Module) -> Subject:
    return Subject(sk.load(plain, tokenizer=tiny.tokenizer()), plain, "one day, mia")


@pytest.fixture(scope="session")
def tinystories() -> Subject:
    return from_folder("tinystories656K")


@pytest.fixture(scope="session")
def stories() -> Subject:
    return from_folder("stories260K")


@pytest.fixture(scope="session")
def gpt2() -> Subject:
    config = GPT2Config(**tiny.VOCABULARY, n_embd=32, n_layer=3, n_head=4, n_positions=96, initializer_range=0.3)
    return from_config(tiny.build(GPT2LMHeadModel, config))


@pytest.fixture(scope="session")
def gemma2() -> Subject:
    config = Gemma2Config(
        **tiny.VOCABULARY,
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        query_pre_attn_scalar=8,
        max_position_embeddings=96,
        sliding_window=7,
        initializer_range=0.3,
    )
    return from_config(tiny.build(Gemma2ForCausalLM, config))


@pytest.fixture(params=["gpt2", "gemma2"])
def drawn(request) -> Subject:
    """One of two random architectures."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["gpt2", "gemma2", "stories", "tinystories"])
def subject(request) -> Subject:
    """One of two random architectures and two trained models."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def tinystories_folder() -> Path:
    return folder("tinystories656K")


@pytest.fixture(scope="session")
def gpt2_files() -> Path:
    path = DATA / "tokenizers" / "gpt2"
    if not path.is_dir():
        pytest.skip("the tokenizer gpt2 is not in shared/data/tokenizers")
    return path
