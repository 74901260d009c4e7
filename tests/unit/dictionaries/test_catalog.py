import re

import pytest

from steerkit.dictionaries import catalog
from steerkit.dictionaries.formats.recognise import FORMATS
from steerkit.dictionaries.source import Hints
from steerkit.errors import DictionaryError
from steerkit.sites import Site


def test_every_entry_can_be_read():
    for entry in catalog.entries():
        Site.parse(entry.site_in)
        if entry.site_out:
            Site.parse(entry.site_out)
        assert entry.format in FORMATS, entry
        Hints(**entry.hints)
        assert re.fullmatch(r"[\w.-]+/[\w.-]+|https://\S+", entry.repo), entry
        assert not re.search(r"[{}*]", f"{entry.name}{entry.source}{entry.model}{entry.labels}"), entry
        assert entry.n_features is None or entry.n_features > 0
        assert entry.license or "license" in entry.unverified, entry


def test_names_are_unique_and_found():
    names = [entry.name for entry in catalog.entries()]
    assert len(names) == len(set(names)) > 1000
    for entry in catalog.entries():
        assert catalog.lookup(entry.name) is entry
        assert catalog.lookup(entry.source) is entry


KNOWN = """
gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71 20.resid_post - 16384 google/gemma-2-2b
google/gemma-scope-9b-it-res/layer_9/width_131k/average_l0_7/params.npz 9.resid_post - 131072 google/gemma-2-9b-it
gemma-scope-2b-pt-transcoders/layer_0/width_16k/average_l0_76 0.mlp_in_normalized 0.mlp_out 16384 google/gemma-2-2b
gemma-scope-2-270m-pt/transcoder_all/layer_3_width_262k_l0_small_affine 3.mlp_in 3.mlp_out 262144 google/gemma-3-270m
google/gemma-scope-2-4b-it/resid_post/layer_22_width_65k_l0_medium 22.resid_post - 65536 google/gemma-3-4b-it
goodfire/llama-3.3-70b-instruct-l50 50.resid_post - 65536 meta-llama/Llama-3.3-70B-Instruct
Goodfire/Llama-3.3-70B-Instruct-SAE-l50 50.resid_post - 65536 meta-llama/Llama-3.3-70B-Instruct
axbench/gemma-2-2b-it-l20 20.resid_post - 15581 google/gemma-2-2b-it
pyvene/gemma-reft-2b-it-res/l20/weight.pt 20.resid_post - 15581 google/gemma-2-2b-it
openai/gpt2-small-v5-32k/resid_post_mlp/layer_6 6.resid_post - 32768 openai-community/gpt2
openai/gpt2-small-v5-128k/resid_post_attn/layer_11 11.resid_mid - 131072 openai-community/gpt2
qwen-scope/qwen3.5-27b-w80k-l0_50/layer_3 3.resid_post - 81920 Qwen/Qwen3.5-27B
"""


@pytest.mark.parametrize("line", KNOWN.strip().splitlines())
def test_what_is_known(line):
    name, site_in, site_out, n_features, model = line.split()
    entry = catalog.find(name)
    assert (entry.site_in, entry.site_out or "-", str(entry.n_features), entry.model) == (
        site_in,
        site_out,
        n_features,
        model,
    )
    assert catalog.find(name.upper()).site_in == site_in


def test_what_the_files_do_not_say_comes_along():
    assert catalog.find("jbloom/gemma-2b-res/layer_12").hints["scale"] == pytest.approx(0.2138, abs=1e-4)
    assert (
        catalog.find("tommmcgrath/gpt2-small-mlp-out/layer_1").path == "sae_group_gpt2_blocks.1.hook_mlp_out_24576:v0"
    )
    attention = catalog.find("ckkissane/gpt2-small-hook-z/layer_5")
    assert attention.hints == {"site": "5.z", "model": "openai-community/gpt2", "kind": "relu", "subtract_b_dec": True}
    assert attention.n_features == 49152


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gemma 2b layer 20", "gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71"),
        ("goodfire 70b", "goodfire/llama-3.3-70b-instruct-l50"),
        ("axbench", "axbench/gemma-2-2b-it-l20"),
        ("gemma scope 2b transcoders layer 0", "gemma-scope-2b-pt-transcoders/layer_0/width_16k/average_l0_76"),
        ("lama 70b", "goodfire/llama-3.3-70b-instruct-l50"),
        ("openai gpt2 6 resid_post 32k", "openai/gpt2-small-v5-32k/resid_post_mlp/layer_6"),
    ],
)
def test_search(text, expected):
    found = catalog.search(text)
    assert expected in found.name.tolist()
    assert list(found.columns) == ["name", "model", "site", "n_features", "license", "source", "unverified"]


def test_search_for_one_layer_does_not_mean_others():
    assert all(site.startswith("20.") for site in catalog.search("gemma 2b layer 20").site)


def test_search_for_nothing():
    assert catalog.search("zzzzqqqq").empty
    assert len(catalog.search("", limit=7)) == 7


def test_a_name_that_is_not_there():
    with pytest.raises(
        DictionaryError, match=r"has no 'gemma-scope-2b-pt-res/layer_20'. Did you mean 'gemma-scope-2b-pt-res/layer_20"
    ):
        catalog.find("gemma-scope-2b-pt-res/layer_20")
    assert catalog.lookup("nobody/nothing") is None
    assert catalog.lookup("gemma-scope-2b-pt-res/layer_20/width_16k/../average_l0_71") is None
