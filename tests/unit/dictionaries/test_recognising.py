"""Which format a path holds, and what the user says over it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from dense import D, N, Numbers
from test_saelens import config, weights, write

from steerkit.dictionaries.formats.recognise import FORMATS, read_parts
from steerkit.errors import DictionaryError
from steerkit.sites import Site


class Optimizer:
    """Not among what `weights_only` loads."""


def test_other_files_may_lie_beside_a_dictionary(tmp_path):
    folder = write(tmp_path, weights(), config())
    torch.save({"state": Optimizer()}, folder / "trainer_state.pt")
    assert read_parts(folder).format == "saelens"
    torch.save({"step": 3}, folder / "other.pt")
    assert read_parts(folder).format == "saelens"


def test_what_the_user_says_goes(tmp_path):
    folder = write(tmp_path, weights(), config())
    parts = read_parts(folder, site="1.resid_mid", model="mine", centred=True)
    assert parts.site_in == parts.site_out == Site(1, "resid_mid")
    assert (parts.model, parts.centred) == ("mine", True)
    parts = read_parts(folder, site="1.mlp_in", site_out="1.mlp_out")
    assert (str(parts.site_in), str(parts.site_out)) == ("1.mlp_in", "1.mlp_out")


def test_a_renamed_file_beside_its_config(tmp_path):
    folder = write(tmp_path, weights(), config())
    path = (folder / "sae_weights.safetensors").rename(folder / "best.safetensors")
    assert read_parts(path).n_features == N
    with pytest.raises(DictionaryError, match=r"no known format; it has best\.safetensors, cfg\.json"):
        read_parts(folder)


def test_relative_paths_and_links(tmp_path, monkeypatch):
    """In the Hugging Face cache, files are links to blobs that have hashes for names."""
    r = Numbers()
    tensors = {"encoder_linear.weight": r(N, D), "encoder_linear.bias": r(N)}
    tensors |= {"decoder_linear.weight": r(D, N), "decoder_linear.bias": r(D)}
    repo = tmp_path / "models--Goodfire--Llama-3.1-8B-Instruct-SAE-l19"
    (repo / "blobs").mkdir(parents=True)
    (repo / "snapshots" / "abc").mkdir(parents=True)
    torch.save(tensors, repo / "blobs" / "0123abcd")
    link = repo / "snapshots" / "abc" / "Llama-3.1-8B-Instruct-SAE-l19.pth"
    os.symlink(Path("../../blobs/0123abcd"), link)
    monkeypatch.chdir(link.parent)
    for path in (link, link.name, ".", str(link.parent)):
        parts = read_parts(path)
        assert str(parts.site_in) == "19.resid_post"
        assert parts.W_dec.rows([2]).equal(tensors["decoder_linear.weight"].T[[2]])


def test_every_format_has_a_name_of_its_own_and_says_what_it_is():
    for name, module in FORMATS.items():
        assert module.__name__.endswith(f".{name}")
        assert module.__doc__
