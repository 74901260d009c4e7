"""Programs travel by value: nothing of steerkit is needed where the model runs."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import textwrap

import pytest

import steerkit as sk

HERE = """
import json, sys, warnings
import nnsight.ndif
import steerkit as sk
import torch
from nnsight.schema.request import RequestModel

nnsight.ndif.pull_env = lambda *_: None  # by itself it ships what is not installed by value; steerkit may be installed

folder, out = sys.argv[1:]
near, far = sk.load(folder), sk.load(folder, remote="local")
generator = torch.Generator().manual_seed(0)
a, b, c = (torch.randn(128, generator=generator) * s for s in (0.2, 0.3, 0.5))
new = sk.Where(prompt=False)
edits = [
    sk.Vector({"0.resid_post": a}).add(0.5),
    sk.Vector({"1.resid_mid": b}).set(1.0, "norm", new),
    sk.Vector({"1.mlp_in_normalized": c}).ablate(),
    sk.Vector({"1.resid_mid": c}).scale(-1, new),
]
prompt, options = "Once upon a time, there was", {"max_new_tokens": 6, "seed": 3}

blobs = []
serialize = RequestModel.serialize.__func__
RequestModel.serialize = classmethod(lambda *args, **kw: blobs.append(serialize(*args, **kw)) or blobs[-1])

def figures(model):
    run = model.generate(prompt, edits, **options)
    both = model.compare(prompt, edits, **options)
    sweep = model.sweep(prompt, edits[0], [0, 1], **options)
    return {
        "ids": run.token_ids,
        "coefficients": run.coefficients.tolist(),
        "logprobs": run.logprobs.tolist(),
        "kl": both.kl.tolist(),
        "swept": [run.token_ids for run in sweep],
        "nats": [run.nats for run in sweep],
        "read": model.read(prompt, [edit.target for edit in edits], edits).coefficients.tolist(),
        "last": model.last_activations([prompt], ["1.resid_post"])[sk.Site(1, "resid_post")].tolist(),
        "score": model.score(prompt, edits).tolist(),
    }

found = {"near": figures(near)}
assert not blobs
found["far"] = figures(far)
for i, blob in enumerate(blobs):
    with open(f"{out}/{i}.bin", "wb") as file:
        file.write(blob)
print(json.dumps(found))
"""

THERE = """
import json, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("steerkit", "jaxtyping", "beartype"):
            raise ModuleNotFoundError(f"{name} is not installed here")

sys.meta_path.insert(0, Hidden())
import torch
from nnsight import TransformersModel
from nnsight.schema.request import RequestModel
from nnsight.tracing import tracer as tracing
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, *files = sys.argv[1:]
module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
lm = TransformersModel(module, tokenizer=AutoTokenizer.from_pretrained(folder), task="text-generation")
records = []
for path in files:
    with open(path, "rb") as file:
        restored = RequestModel.deserialize(file.read(), lm._remoteable_persistent_objects(), compress=False)
    tracing.inc()
    restored.execute(restored.info.code)
    tracing.dec()
    records.append(restored.info.frame.f_locals["record"])
record = records[0]
assert not [name for name in sys.modules if name.split(".")[0] == "steerkit"]
print(json.dumps({"ids": record["ids"][0], "coefficients": [step[0].tolist() for step in record["coefficients"]]}))
"""


def script(code: str, *arguments: object) -> dict:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def requests(tinystories_folder, tmp_path_factory):
    """What the same plans gave here and in nnsight's simulation of NDIF, and the requests as they would be sent."""
    out = tmp_path_factory.mktemp("requests")
    return out, script(HERE, tinystories_folder, out)


@pytest.mark.parametrize("name", ["ids", "coefficients", "logprobs", "kl", "swept", "nats", "read", "last", "score"])
def test_the_same_plans_give_the_same(requests, name):
    _, found = requests
    assert len(found["near"][name]) > 0
    assert found["far"][name] == found["near"][name]


def test_requests_run_where_steerkit_is_not_installed(requests, tinystories_folder):
    out, found = requests
    files = sorted(out.glob("*.bin"), key=lambda file: int(file.stem))
    assert len(files) >= 6
    there = script(THERE, tinystories_folder, *files)
    assert there["ids"] == found["near"]["ids"]
    assert there["coefficients"] == found["near"]["coefficients"]


def test_a_program_is_tensors_and_numbers(gpt2):
    """It survives a pickle of its own, and stays small."""
    program = gpt2.model._runner.compile([sk.Plan(gpt2.vector().add(1))])
    again = pickle.loads(pickle.dumps(program))
    assert again.columns == program.columns
    assert len(pickle.dumps(program)) < 20_000
