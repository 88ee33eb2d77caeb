"""PixelPersona: pixel-art portraits of people by fine-tuned Stable Diffusion.

The Python interface is imported on first use, so that `import pixelpersona` stays quick:
`from pixelpersona import Pyx, Pixelation, Pixelator` loads no torch, `Stylizer` and `load_base` do.
"""

import logging
from importlib import import_module, metadata

# When diffusers is imported, transformers reports two classes that fall back to Pillow without torchvision.
# Nothing here uses them, and torchvision is left out on purpose.
logging.getLogger("transformers.utils.import_utils").addFilter(
    lambda record: "requires torchvision (not installed)" not in record.getMessage()
)

_EXPORTS = {
    "Pixelation": "pixelpersona.pixel.pixelation",
    "Pixelator": "pixelpersona.pixel.pixelator",
    "Postprocess": "pixelpersona.pixel.postprocess",
    "Pyx": "pixelpersona.pixel.pyxelate",
    "Sampler": "pixelpersona.inference.sampler",
    "Stylizer": "pixelpersona.inference.stylizer",
    "load_base": "pixelpersona.models.base",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> object:
    """PEP 562. Raises AttributeError for names that are not part of the interface."""
    if name == "__version__":
        return metadata.version("pixelpersona")
    if name not in _EXPORTS:
        raise AttributeError(f"module 'pixelpersona' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
