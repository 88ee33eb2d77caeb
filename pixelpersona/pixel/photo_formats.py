"""Accepted image formats, by file suffix and by the Pillow plugin that decodes them."""

from PIL import features

try:
    import pillow_heif
except ImportError:  # the extra `heic`
    _HAS_HEIC = False
else:
    pillow_heif.register_heif_opener()
    _HAS_HEIC = True

_HAS_AVIF = features.check("avif")

_HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
_AVIF_SUFFIXES = frozenset({".avif"})

PHOTO_SUFFIXES: frozenset[str] = (
    frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"})
    | (_AVIF_SUFFIXES if _HAS_AVIF else frozenset())
    | (_HEIC_SUFFIXES if _HAS_HEIC else frozenset())
)
CLIP_SUFFIXES: frozenset[str] = frozenset({".gif"})

# The only plugins that may parse untrusted bytes. "JPEG" also opens the multi-picture files (MPO) of phones.
PHOTO_PLUGINS: tuple[str, ...] = (
    *("JPEG", "PNG", "WEBP", "BMP", "TIFF"),
    *(("AVIF",) if _HAS_AVIF else ()),
    *(("HEIF",) if _HAS_HEIC else ()),
)
CLIP_PLUGINS: tuple[str, ...] = ("GIF",)

PHOTO_FORMATS = "JPEG, PNG, WebP, BMP, TIFF, AVIF or HEIC"

_HEIC_HINT = "HEIC needs a package: pip install 'pixelpersona[heic]'"
_AVIF_HINT = "this Pillow was built without AVIF"

HINTS: dict[str, str] = {
    **({} if _HAS_HEIC else dict.fromkeys(_HEIC_SUFFIXES, _HEIC_HINT)),
    **({} if _HAS_AVIF else dict.fromkeys(_AVIF_SUFFIXES, _AVIF_HINT)),
}
"""What to do about photos that this installation does not read, by suffix."""

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_BRANDS = dict.fromkeys(_HEIC_BRANDS, ".heic") | dict.fromkeys((b"avif", b"avis"), ".avif")


def format_hint(start: bytes) -> str | None:
    """The hint for a HEIC or AVIF file that this installation does not read; None for any other file.

    start: the first 12 bytes of the file, or more.
    """
    if start[4:8] != b"ftyp":
        return None
    return HINTS.get(_BRANDS.get(start[8:12], ""))
