"""Reads GGUF files of one small model with the `gguf` package, and compares them with what was asked for.

    python tests/readers/gguf_file.py FOLDER PATCH.safetensors BASE.gguf EXACT.gguf USUAL.gguf

FOLDER is the model's, BASE is it without a change, EXACT with the patch and its matrices in F32
(`--edited-type f32`), USUAL with the patch and no flag. Exits with the first thing that is not right.
`.ci/wheel` makes all of them with the program of a wheel.
"""

import json
import pathlib
import sys

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader
from safetensors.numpy import load_file

# The sum of a few products of f32, added in another order.
TOLERANCE = 1e-6
# Keys of a llama, and what its config.json calls them.
KEYS = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "vocab_size": "vocab_size",
}


def require(is_right, message):
    if not is_right:
        sys.exit(f"gguf_file: {message}")


def value(reader, key):
    require(key in reader.fields, f"key {key} is missing")
    return reader.fields[key].contents()


def check_keys(reader, folder):
    config = json.loads((folder / "config.json").read_text())
    require(value(reader, "general.architecture") == "llama", "the architecture is not llama")
    for key, name in KEYS.items():
        found, expected = value(reader, f"llama.{key}"), config[name]
        require(found == expected, f"key llama.{key} is {found}, expected {expected}")
    tokens = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    found = value(reader, "tokenizer.ggml.tokens")
    wrong = [token for token, index in tokens.items() if found[index] != token]
    require(not wrong, f"tokens in another place: {wrong[:5]}")


def changes(patch):
    """Every changed tensor of a patch by its name in a GGUF file."""
    tensors = load_file(patch)
    for name in tensors:
        if name.endswith("down_proj.weight.left"):
            layer = name.split(".")[2]
            right = tensors[name.removesuffix("left") + "right"]
            yield f"blk.{layer}.ffn_down.weight", tensors[name] @ right


def check_tensors(base, exact, usual, changed):
    names = [{tensor.name: tensor for tensor in reader.tensors} for reader in (base, exact, usual)]
    require(len(changed) > 0, "the patch changes no down projection")
    require(names[0].keys() == names[1].keys() == names[2].keys(), "the files have other tensors")
    for name, tensor in names[0].items():
        one, other = names[1][name], names[2][name]
        require(list(tensor.shape) == list(one.shape) == list(other.shape), f"{name}: other shapes")
        if name not in changed:
            same = all(np.array_equal(tensor.data, it.data) for it in (one, other))
            require(same, f"{name} changed, and no patch says so")
            continue
        types = (one.tensor_type, other.tensor_type)
        require(types == (Type.F32, Type.F16), f"{name} is stored as {types}")
        off = np.abs(one.data - (tensor.data.astype(np.float32) + changed[name])).max()
        require(off <= TOLERANCE, f"{name} is off by {off:e}")
        rounded = np.array_equal(one.data.astype(np.float16), other.data)
        require(rounded, f"{name} in F16 is not what F32 is rounded to")


def main(folder, patch, *files):
    base, exact, usual = (GGUFReader(file) for file in files)
    for reader in (base, exact, usual):
        check_keys(reader, pathlib.Path(folder))
    changed = dict(changes(patch))
    check_tensors(base, exact, usual, changed)
    print(f"gguf_file: {len(base.tensors)} tensors, {len(changed)} changed as the patch says")


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
