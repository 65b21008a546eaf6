"""The two questions that setup.sh asks a Python about torch. Standard library, and torch if any.

`system` prints the version of this Python's own torch if it works with a CUDA GPU (a pod's image
has one: downloading another would take minutes and gigabytes), else nothing. `verify` proves that
what was installed computes: torch imports, and bitsandbytes turns numbers into NF4 and back
within the error that 4 bits allow. Both print one line; `verify` ends with 1 and a sentence where
something is broken.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys

MINIMUM = (2, 8)  # of torch, as in pyproject.toml
NF4_ERROR = 0.15  # mean |error| / mean |value| of NF4 on normal numbers; about 0.09 is expected


def system() -> str:
    """Version of a torch outside any virtual environment that computes on a GPU, or ''."""
    if sys.prefix != sys.base_prefix:
        return ""  # --system-site-packages cannot reach into another virtual environment
    try:
        import torch

        (torch.zeros(1, device="cuda") + 1).item()  # fails where the build lacks this GPU's code
    except Exception:  # whatever a broken torch raises: it is then not one to build on
        return ""
    version = importlib.metadata.version("torch")  # as pip will compare it
    if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM:
        return ""
    return version


def verify() -> str:
    """One line on what works; raises whatever does not."""
    import bitsandbytes.functional as bnb
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    numbers = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).to(device)
    packed, state = bnb.quantize_4bit(numbers, quant_type="nf4", compress_statistics=True)
    error = (
        (bnb.dequantize_4bit(packed, state) - numbers).abs().mean() / numbers.abs().mean()
    ).item()
    if not 0 < error < NF4_ERROR:
        raise RuntimeError(f"NF4 lost {error:.0%} of the numbers given to it (about 9 % is normal)")
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return f"torch {torch.__version__} on {where}, NF4 works (error {error:.1%})"


def main() -> int:
    """`system` or `verify`, as the first argument says."""
    if sys.argv[1:] == ["system"]:
        # The last line is the answer: a torch that prints on import must not be taken for one.
        print("\n" + system())
        return 0
    try:
        print(verify())
    except Exception as error:
        if os.environ.get("QTUI_DEBUG"):
            raise
        print(f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
