"""Devices that networks run on."""

import torch

from dinocell.errors import InputError


def choose_device(name: str = "auto") -> torch.device:
    """Find a device: CUDA, else MPS, else CPU for ``auto``.

    Raises
    ------
    InputError
        If the named device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        if name.split(":")[0] not in ("cpu", "cuda", "mps"):
            raise RuntimeError(name)  # noqa: TRY301 (torch raises the same for names it does not know)
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # AssertionError: built without CUDA
        raise InputError(f"device {name!r} cannot be used here: choose auto, cpu, cuda or mps") from error
    return device


def multiplies_bfloat16() -> bool:
    """Return whether the processor has instructions for bfloat16; True where torch cannot ask it."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return True
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "avx10_2", "bf16"))
