"""Compares an exported folder and a PEFT adapter with logits that rescribe computed: see tests/readers.rs.

    python tests/readers/hugging_face.py BASE ROOM

ROOM has `folder`, `adapter`, `prompts.json` (token ids) and `logits.f32` (after each token). Prints the
largest difference of logits in single precision, how often the most probable token is the same, and how
the first two prompts are continued; fails where a difference is too large.
"""

import json
import os
import pathlib
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import peft
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

# Logits of two implementations in single precision, over a few dozen layers.
TOLERANCE = 1e-2


def load(folder):
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval()


def compare(name, model, tokenizer, prompts, expected):
    with torch.no_grad():
        found = torch.cat([model(torch.tensor([ids])).logits[0] for ids in prompts]).numpy()
        said = [
            model.generate(torch.tensor([ids]), max_new_tokens=4, do_sample=False) for ids in prompts[:2]
        ]
    expected = expected.reshape(found.shape)
    largest = np.abs(found - expected).max()
    same = (found.argmax(1) == expected.argmax(1)).sum()
    said = [tokenizer.decode(all[0][len(ids):]) for all, ids in zip(said, prompts)]
    print(
        f"{name:7} largest difference {largest:.1e} (largest logit {np.abs(expected).max():.1f})  "
        f"same {same} of {len(found)}  says {said}",
        flush=True,
    )
    return largest


def main(base, room):
    print(f"transformers {transformers.__version__}, peft {peft.__version__}", flush=True)
    prompts = json.loads((room / "prompts.json").read_text())
    expected = np.fromfile(room / "logits.f32", dtype="<f4")
    tokenizer = AutoTokenizer.from_pretrained(room / "folder")
    worst = compare("folder", load(room / "folder"), tokenizer, prompts, expected)
    adapted = peft.PeftModel.from_pretrained(load(base), room / "adapter")
    worst = max(worst, compare("adapter", adapted, tokenizer, prompts, expected))
    if not worst <= TOLERANCE:
        sys.exit(f"logits differ by {worst:e}, more than {TOLERANCE:e}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
