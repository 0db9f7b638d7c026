"""Compares GGUF files that rescribe writes with the folders that they are made of, in llama.cpp.

    pip install -r tests/readers/requirements.txt
    python tests/readers/llama_cpp.py families target/release/rescribe
    python tests/readers/llama_cpp.py model FOLDER FILE.gguf [ADAPTER.gguf]

`families` exports a fixture of each family, without what llama.cpp does not have (the windows of
some families, other scales of attention scores). `model` compares FILE, with ADAPTER, with FOLDER as Hugging
Face computes it in single precision. Both print, over random token ids, the median and the largest
difference of log probabilities of the twenty most probable tokens, and how often the most probable one
is the same. llama.cpp keeps keys and values in half precision, which alone makes some 1e-2.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import xllamacpp
from transformers import AutoModelForCausalLM

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
# Changes to each fixture's config, after which it says nothing that a GGUF file cannot.
FAMILIES = {
    "llama": {},
    "gpt2": {},
    "mistral": {"sliding_window": None},
    "qwen2": {"use_sliding_window": False, "layer_types": ["full_attention"] * 3},
    "qwen3": {},
    # llama.cpp has no windows for this family, and takes the long factors for a context of 256.
    "phi3": {
        "sliding_window": None,
        "original_max_position_embeddings": 1024,
        "max_position_embeddings": 4096,
    },
    "gemma2": {"query_pre_attn_scalar": 12},
    "gemma3_text": {
        "query_pre_attn_scalar": 12,
        "layer_types": ["sliding_attention"] * 3,
        "rope_local_base_freq": 10000.0,
    },
    "olmo2": {},
    "granite": {},
    "smollm3": {"no_rope_layers": [1, 1, 1], "no_rope_layer_interval": 4},
    "starcoder2": {"sliding_window": None},
    "stablelm": {},
    "gpt_neox": {},
}


def prompts(vocabulary):
    random.seed(3)
    last = min(vocabulary, 30000) - 4
    return [[random.randrange(5, last) for _ in range(random.randrange(3, 24))] for _ in range(24)]


def reference(folder):
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        for ids in prompts(model.config.vocab_size):
            logits = model(torch.tensor([ids])).logits[0, -1].double()
            yield ids, torch.log_softmax(logits, -1)


def compare(name, folder, gguf, adapter=None):
    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel, params.warmup = str(gguf), 256, 1, False
    if adapter:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
    server = xllamacpp.Server(params)
    differences, same = [], 0
    for ids, expected in reference(folder):
        request = {
            "prompt": ids,
            "n_predict": 1,
            "temperature": 0,
            "n_probs": 20,
            "cache_prompt": False,
            "ignore_eos": True,
        }
        answer = server.handle_completions(request)
        answer = json.loads(answer) if isinstance(answer, (str, bytes)) else answer
        # A token that is no whole character is not reported.
        if not answer["choices"][0]["logprobs"]:
            continue
        top = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        differences.append(max(abs(it["logprob"] - expected[it["id"]].item()) for it in top))
        same += top[0]["id"] == expected.argmax().item()
    differences.sort()
    n = len(differences)
    print(
        f"{name:14} n {n:2}  median {differences[n // 2]:.1e}  "
        f"largest {differences[-1]:.1e}  same {same}",
        flush=True,
    )


def families(rescribe):
    with tempfile.TemporaryDirectory() as room:
        for name, changes in FAMILIES.items():
            # llama.cpp expects tokens of Phi 3 where a file's name says that it is one.
            folder = pathlib.Path(room) / name.replace("phi3", "longrope")
            shutil.copytree(FIXTURES / name / "model", folder)
            config = json.loads((folder / "config.json").read_text()) | changes
            (folder / "config.json").write_text(json.dumps(config))
            gguf = folder.with_suffix(".gguf")
            export = [rescribe, "export", "--model", folder, "--out", gguf, "--quiet"]
            subprocess.run(export, check=True, stdout=subprocess.DEVNULL)
            compare(name, folder, gguf)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["families", rescribe]:
            families(rescribe)
        case ["model", folder, gguf, *adapter]:
            compare(pathlib.Path(folder).name, folder, gguf, *adapter)
        case _:
            sys.exit(__doc__)
