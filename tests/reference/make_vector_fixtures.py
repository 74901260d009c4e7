"""Exchanges control vectors with repeng, in both directions, and keeps the files and what was read of them.

`ours` writes a file with steerkit; `repeng` reads it, and writes one of its own, in an environment of its own (repeng
needs numpy<2):

    python tests/reference/make_vector_fixtures.py ours
    pip install repeng gguf "numpy<2" torch safetensors && python tests/reference/make_vector_fixtures.py repeng

Everything goes to `tests/fixtures/vectors/`: `ours.gguf`; `read_by_repeng.safetensors`, its directions as repeng has
them, and those of `v / 2 - v * 3`; `repeng.gguf` with `repeng.safetensors`, what it was made of; and `repeng.json`,
the versions. `tests/reference/test_vector_peers.py` reads them.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "vectors"
WIDTH, LAYERS = 6, (1, 2, 11)


def directions(seed: int) -> dict[int, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {layer: torch.randn(WIDTH, generator=draw) for layer in LAYERS}


def ours() -> None:
    import steerkit as sk

    vector = sk.Vector({f"{layer}.resid_post": row for layer, row in directions(0).items()}, "joy")
    vector.to_gguf(FOLDER / "ours.gguf", model_type="llama")


def repeng() -> None:
    from repeng import ControlVector

    def tensors(vector: ControlVector, name: str = "") -> dict[str, torch.Tensor]:
        return {f"{name}{layer}": torch.tensor(row) for layer, row in vector.directions.items()}

    read = ControlVector.import_gguf(FOLDER / "ours.gguf")
    found = tensors(read) | tensors(read / 2 - read * 3, "combined.")
    save_file(found, FOLDER / "read_by_repeng.safetensors", metadata={"model_type": read.model_type})

    made = ControlVector("mistral", {layer: row.numpy() for layer, row in directions(1).items()})
    made.export_gguf(FOLDER / "repeng.gguf")
    save_file(tensors(made), FOLDER / "repeng.safetensors")
    versions = {package: version(package) for package in ("repeng", "gguf", "numpy", "torch")}
    (FOLDER / "repeng.json").write_text(json.dumps(versions, indent=1) + "\n")


def main() -> None:
    steps = {"ours": ours, "repeng": repeng}
    if len(sys.argv) != 2 or sys.argv[1] not in steps:
        raise SystemExit(f"usage: {sys.argv[0]} {'|'.join(steps)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    steps[sys.argv[1]]()


if __name__ == "__main__":
    main()
