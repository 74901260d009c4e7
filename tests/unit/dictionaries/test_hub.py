import io
import os
import socket
import subprocess
import sys

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants
from local_hub import Hub, Repo, commit_of

from steerkit.dictionaries.formats.recognise import read_parts
from steerkit.dictionaries.hub import locate
from steerkit.errors import DictionaryError

JUNK = {"README.md": b"# Hello", ".gitattributes": b"", "huge.bin": b"never fetched"}

# Repositories as their publishers lay them out, a name for a dictionary in each, and the files it needs.
LAYOUTS = {
    "gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71": (
        "google/gemma-scope-2b-pt-res",
        {"layer_20/width_16k/average_l0_71/params.npz", "layer_20/width_16k/average_l0_38/params.npz"},
        ["layer_20/width_16k/average_l0_71/params.npz"],
    ),
    "gemma-scope-2-1b-it/resid_post_all/layer_7_width_16k_l0_big": (
        "google/gemma-scope-2-1b-it",
        {
            f"resid_post_all/layer_{layer}_width_16k_l0_big/{file}"
            for layer in (6, 7)
            for file in ("params.safetensors", "config.json", "examples.safetensors")
        },
        [
            "resid_post_all/layer_7_width_16k_l0_big/params.safetensors",
            "resid_post_all/layer_7_width_16k_l0_big/config.json",
        ],
    ),
    "goodfire/llama-3.1-8b-instruct-l19": (
        "Goodfire/Llama-3.1-8B-Instruct-SAE-l19",
        {"Llama-3.1-8B-Instruct-SAE-l19.pth"},
        ["Llama-3.1-8B-Instruct-SAE-l19.pth"],
    ),
    "axbench/gemma-2-2b-it-l20": (
        "pyvene/gemma-reft-2b-it-res",
        {"l20/weight.pt", "l20/metadata.jsonl"},
        ["l20/weight.pt", "l20/metadata.jsonl"],
    ),
    "jbloom/gpt2-small-res-jb/layer_8": (
        "jbloom/GPT2-Small-SAEs-Reformatted",
        {
            f"blocks.{layer}.hook_resid_pre/{file}"
            for layer in (7, 8)
            for file in ("cfg.json", "sae_weights.safetensors", "sparsity.safetensors")
        },
        ["blocks.8.hook_resid_pre/sae_weights.safetensors", "blocks.8.hook_resid_pre/cfg.json"],
    ),
    "EleutherAI/sae-llama-3-8b-32x/layers.10": (
        "EleutherAI/sae-llama-3-8b-32x",
        {"config.json", *(f"layers.{layer}/{file}" for layer in (10, 11) for file in ("cfg.json", "sae.safetensors"))},
        ["layers.10/sae.safetensors", "layers.10/cfg.json"],
    ),
    "llama-scope/llama-3.1-8b-base-lxr-8x/layer_15": (
        "fnlp/Llama3_1-8B-Base-LXR-8x",
        {
            f"Llama3_1-8B-Base-L{layer}R-8x/{file}"
            for layer in (15, 16)
            for file in ("hyperparams.json", "lm_config.json", "checkpoints/final.safetensors")
        },
        [
            "Llama3_1-8B-Base-L15R-8x/checkpoints/final.safetensors",
            "Llama3_1-8B-Base-L15R-8x/hyperparams.json",
            "Llama3_1-8B-Base-L15R-8x/lm_config.json",
        ],
    ),
    "andyrdt/llama-3.1-8b-instruct/layer_19": (
        "andyrdt/saes-llama-3.1-8b-instruct",
        {"resid_post_layer_19/trainer_1/ae.pt", "resid_post_layer_19/trainer_1/config.json"},
        ["resid_post_layer_19/trainer_1/ae.pt", "resid_post_layer_19/trainer_1/config.json"],
    ),
    "qwen-scope/qwen3-1.7b-base-w32k-l0_50/layer_3": (
        "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50",
        {"layer3.sae.pt", "layer4.sae.pt"},
        ["layer3.sae.pt"],
    ),
    "ckkissane/gpt2-small-hook-z/layer_0": (
        "ckkissane/attn-saes-gpt2-small-all-layers",
        {
            f"gpt2-small_L0_Hcat_z_lr1.20e-03_l11.80e+00_ds24576_bs4096_dc1.00e-06_rsanthropic_rie25000_nr4_v9{end}"
            for end in (".pt", "_cfg.json")
        },
        [
            f"gpt2-small_L0_Hcat_z_lr1.20e-03_l11.80e+00_ds24576_bs4096_dc1.00e-06_rsanthropic_rie25000_nr4_v9{end}"
            for end in (".pt", "_cfg.json")
        ],
    ),
    "mwhanna/qwen3-4b-transcoders/layer_2": (
        "mwhanna/qwen3-4b-transcoders",
        {"layer_1.safetensors", "layer_2.safetensors", "config.yaml"},
        ["layer_2.safetensors", "config.yaml"],
    ),
}


def contents(paths):
    return {**JUNK, **{path: f"contents of {path}".encode() for path in paths}}


@pytest.fixture(autouse=True)
def no_other_network(monkeypatch):
    connect = socket.socket.connect

    def local_only(self, address):
        assert address[0] == "127.0.0.1", f"a connection to {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with Hub() as hub:
        before = constants.ENDPOINT
        for name in ("ENDPOINT", "HUGGINGFACE_CO_URL_TEMPLATE"):
            monkeypatch.setattr(constants, name, getattr(constants, name).replace(before, hub.endpoint))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub
        huggingface_hub.close_session()


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_files_needed_and_no_others(hub, name):
    repo, paths, needed = LAYOUTS[name]
    hub.repos[repo] = Repo(contents(paths))
    found = locate(name)
    assert hub.downloads() == needed
    assert found.repo == repo
    assert found.revision == commit_of(hub.repos[repo].files)
    root = next(parent for parent in (found.path, *found.path.parents) if parent.name == found.revision)
    assert found.path.relative_to(root).as_posix() in ("/".join(needed[0].split("/")[:n]) for n in (1, 2, 3, 4))
    assert {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} == set(needed)
    if name.startswith("EleutherAI"):
        assert (found.format, found.hints) == (None, {})
    else:
        assert found.format
        assert set(found.hints) >= {"site", "model"}
    assert locate(name) == found
    assert hub.downloads() == needed, "the cache has them"


def test_from_the_hub_to_parts(hub):
    rng, bytes_ = np.random.default_rng(0), io.BytesIO()
    weights = {"W_enc": (4, 6), "W_dec": (6, 4), "b_enc": 6, "b_dec": 4, "threshold": 6}
    np.savez(bytes_, **{name: rng.random(shape, dtype=np.float32) for name, shape in weights.items()})
    hub.repos["google/gemma-scope-2b-pt-mlp"] = Repo({"layer_5/width_16k/average_l0_1/params.npz": bytes_.getvalue()})
    found = locate("gemma-scope-2b-pt-mlp/layer_5/width_16k/average_l0_1")
    parts = read_parts(found.path, format=found.format, **found.hints)
    assert (parts.format, str(parts.site_in), parts.model) == ("gemma_scope", "5.mlp_out", "google/gemma-2-2b")
    assert parts.n_features == 6


def test_a_repository_with_a_path_is_the_entry_of_the_catalog(hub):
    hub.repos["google/gemma-scope-2b-pt-att"] = Repo(contents({"layer_3/width_16k/average_l0_9/params.npz"}))
    by_name = locate("gemma-scope-2b-pt-att/layer_3/width_16k/average_l0_9")
    for name in ("google/gemma-scope-2b-pt-att/layer_3/width_16k/average_l0_9",
                 "google/gemma-scope-2b-pt-att/layer_3/width_16k/average_l0_9/params.npz"):  # fmt: skip
        assert locate(name) == by_name
    assert by_name.hints == {"site": "3.z", "model": "google/gemma-2-2b"}


@pytest.mark.parametrize(
    ("paths", "name", "needed"),
    [
        ({"sae.safetensors", "cfg.json"}, "me/mine", ["sae.safetensors", "cfg.json"]),
        ({"only.pt"}, "me/mine", ["only.pt"]),
        ({"deep/er/one.npz", "deep/other.npz"}, "me/mine/deep/er", ["deep/er/one.npz"]),
        ({"a.pt", "b.pt"}, "me/mine/b.pt", ["b.pt"]),
        ({"checkpoints/a.pt", "config.json"}, "me/mine/checkpoints/a.pt", ["checkpoints/a.pt", "config.json"]),
        ({"a b.pt"}, "me/mine/a b.pt/", ["a b.pt"]),
        (
            {"L_weight.pt", "L_bias.pt", "metadata.jsonl", "M_bias.pt"},
            "me/mine/L_weight.pt",
            ["L_weight.pt", "metadata.jsonl", "L_bias.pt"],
        ),
    ],
)  # fmt: skip
def test_any_repository(hub, paths, name, needed):
    hub.repos["me/mine"] = Repo({path: path.encode() for path in paths})
    found = locate(name)
    assert hub.downloads() == needed
    assert found.path.is_relative_to(found.path.anchor)
    assert (found.format, found.hints) == (None, {})


# What is not there


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "me/mine/layer_3",
            r"me/mine has no 'layer_3'. me/mine has: README.md, layer_1/, layer_2/. Give the path of one",
        ),
        ("me/mine/layer_2/width_9", r"no 'layer_2/width_9'. me/mine/layer_2 has: width_1/, width_2/"),
        ("me/mine", r"me/mine is not one dictionary. me/mine has: README.md, layer_1/, layer_2/"),
        ("me/mine/layer_1", r"me/mine/layer_1 is not one dictionary. me/mine/layer_1 has: a.pt, b.pt"),
        ("me/other", r"There is no repository 'me/other' on the hub, or it is private"),
        ("3.resid_post", r"not in the catalog, .* Did you mean 'storybook/3.resid_post'\?$"),
        ("gemma-scope-2b-pt", r"'gemma-scope-2b-pt' is no file or folder here, .* Did you mean 'gemma-scope-2b-pt-"),
        ("me/..", r"is no name of a dictionary"),
        ("me/mine/../../x", r"may have no empty parts, '.', '..'"),
        ("me//mine", r"is no name of a dictionary"),
        ("me/mine/a\\..\\b", r"is no name of a dictionary"),
        ("me/mine/\0", r"is no name of a dictionary|no file or folder"),
        ("./gone.pt", r"There is no file or folder './gone.pt'"),
        ("/gone/../x", r"There is no file or folder"),
        ("me me/mine", r"'me me/mine' is no name of a repository"),
        ("", r"is no name"),
    ],
)
def test_what_is_not_there(hub, name, message):
    hub.repos["me/mine"] = Repo(
        dict.fromkeys(
            ["layer_1/a.pt", "layer_1/b.pt", "layer_2/width_1/a.pt", "layer_2/width_2/a.pt", "README.md"], b"x"
        )
    )
    with pytest.raises(DictionaryError, match=message):
        locate(name)
    assert hub.downloads() == []


def test_openai_lies_elsewhere(hub):
    with pytest.raises(
        DictionaryError,
        match=r"not on the Hugging Face hub. Download https://openaipublic\S+/gpt2-small/resid_post_mlp_v5_32k/"
        r"autoencoders/6.pt \(with .* and load that file with format='openai', site='6.resid_post'",
    ):
        locate("openai/gpt2-small-v5-32k/resid_post_mlp/layer_6")
    assert hub.requests == []


@pytest.mark.parametrize("token", [None, "hf_without_access"])
def test_a_gated_repository_says_what_to_do(hub, monkeypatch, token):
    hub.repos["Goodfire/Llama-3.3-70B-Instruct-SAE-l50"] = Repo(
        contents({"Llama-3.3-70B-Instruct-SAE-l50.pt"}), gated=True
    )
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(
        DictionaryError,
        match=r"is gated: .* at https://huggingface.co/Goodfire/Llama-3.3-70B-Instruct-SAE-l50, run `hf auth login`",
    ):
        locate("goodfire/llama-3.3-70b-instruct-l50")


# Revisions


def test_revisions_are_pinned(hub):
    old, new = {"a.pt": b"old"}, {"a.pt": b"new"}
    hub.repos["me/mine"] = Repo(new, branches={"v1": old})
    assert (locate("me/mine").path / "a.pt").read_bytes() == b"new"
    found = locate("me/mine", revision="v1")
    assert found.revision == commit_of(old)
    assert (found.path / "a.pt").read_bytes() == b"old"
    assert locate("me/mine", revision=found.revision) == found
    hub.repos["me/mine"].branches["v1"] = new
    assert locate("me/mine", revision="v1").revision == commit_of(new)
    with pytest.raises(DictionaryError, match=r"me/mine has no revision 'v9'. Give a branch, a tag or a commit"):
        locate("me/mine", revision="v9")


# Interrupted and offline


@pytest.fixture
def broken(hub, monkeypatch):
    """A download that is cut off, and the ranges that were asked for."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    content = np.random.default_rng(0).bytes(300_000)
    hub.repos["me/mine"] = Repo({"a.pt": content})
    hub.breaks["a.pt"] = 100_000

    def ranges():
        return [asked for method, path, asked in hub.requests if method == "GET" and path.endswith("a.pt")]

    return content, ranges


def test_a_broken_download_goes_on_where_it_stopped(monkeypatch, broken):
    monkeypatch.setattr("time.sleep", lambda _: None)
    content, ranges = broken
    assert (locate("me/mine").path / "a.pt").read_bytes() == content
    assert ranges() == [None, "bytes=100000-"]


def test_a_download_that_is_given_up_leaves_nothing_half(hub, monkeypatch, tmp_path, broken):
    content, _ = broken
    monkeypatch.setattr("time.sleep", lambda _: setattr(hub, "failing", True))
    with pytest.raises(DictionaryError, match=r"download of me/mine failed: .*503.*Nothing of it was kept"):
        locate("me/mine")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 1000]
    hub.failing = False
    assert (locate("me/mine").path / "a.pt").read_bytes() == content


def test_a_hub_that_fails_leaves_no_half_file(hub, monkeypatch, tmp_path):
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.repos["me/mine"] = Repo({"a.pt": b"x" * 1000})
    hub.failing = True
    with pytest.raises(DictionaryError, match=r"download of me/mine failed: .*503.*Try again"):
        locate("me/mine")
    assert not list(tmp_path.rglob("a.pt"))
    hub.failing = False
    assert (locate("me/mine").path / "a.pt").stat().st_size == 1000


def test_offline_once_cached(hub, monkeypatch):
    name = "gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71"
    repo, paths, needed = LAYOUTS[name]
    hub.repos[repo] = Repo(contents(paths))
    found = locate(name)
    asked = len(hub.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert locate(name) == found
    assert (found.path).read_bytes() == f"contents of {needed[0]}".encode()
    with pytest.raises(DictionaryError, match=r"average_l0_38"):
        locate("gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_38")
    with pytest.raises(
        DictionaryError, match=r"not in the cache, and the hub cannot be reached or HF_HUB_OFFLINE is set"
    ):
        locate("me/other")
    assert len(hub.requests) == asked


def test_a_hub_out_of_reach_is_like_offline(hub, monkeypatch):
    hub.repos["me/mine"] = Repo({"a.pt": b"x"})
    found = locate("me/mine")
    hub.failing = True
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert locate("me/mine") == found


def test_offline_in_a_process_of_its_own(hub, tmp_path):
    hub.repos["me/mine"] = Repo({"a.pt": b"x"})
    script = "import sys; from steerkit.dictionaries.hub import locate; print(locate('me/mine').revision)"
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_CACHE": str(tmp_path / "own")}
    online = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    asked = len(hub.requests)
    environment["HF_HUB_OFFLINE"] = "1"
    offline = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert online.stdout == offline.stdout == commit_of({"a.pt": b"x"}) + "\n"
    assert len(hub.requests) == asked


# Local files


def test_local_files_need_no_network(hub, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "sae.pt").write_bytes(b"x")
    for name in (tmp_path / "mine", str(tmp_path / "mine" / "sae.pt")):
        found = locate(name)
        assert (str(found.path), found.repo, found.revision, found.format, found.hints) == (
            str(name),
            None,
            None,
            None,
            {},
        )
    monkeypatch.chdir(tmp_path)
    assert locate("mine/sae.pt").path.read_bytes() == b"x"
    with pytest.raises(DictionaryError, match="There is no file or folder"):
        locate(tmp_path / "gone")
    assert hub.requests == []
