"""Contact sheets: images side by side with titles."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_BACKGROUND = (250, 250, 248)
_TEXT = (32, 32, 36)
_TILE = 128  # pixels
_GAP = 6
_FONT_SIZE = _TILE // 8
_SMALLEST_FONT = 8

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(
    rows: Sequence[Sequence[Image.Image]],
    *,
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
) -> Image.Image:
    """One RGB image with every image on a square of 128 pixels, 6 pixels apart.

    Rows may have different lengths. Column titles are above, row titles on the left; Latin script only. Long
    titles get a smaller font and are then truncated.
    Raises ValueError when there is no image, or there are more titles than columns or rows.
    """
    num_columns = max((len(row) for row in rows), default=0)
    if num_columns == 0:
        raise ValueError("contact_sheet: rows must hold at least one image")
    if len(column_titles) > num_columns or len(row_titles) > len(rows):
        raise ValueError(
            f"contact_sheet: {len(column_titles)} column and {len(row_titles)} row titles for "
            f"{num_columns} columns and {len(rows)} rows"
        )
    column_font = _fitting_font(column_titles, _TILE)
    row_font = ImageFont.load_default(_FONT_SIZE)
    left = _GAP + max((int(row_font.getlength(title)) + 1 + _GAP for title in row_titles), default=0)
    top = _GAP + (_FONT_SIZE + _GAP if column_titles else 0)
    step = _TILE + _GAP
    sheet = Image.new("RGB", (left + num_columns * step, top + len(rows) * step), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(column_titles):
        center = left + column * step + _TILE / 2
        short = _truncated(title, column_font, _TILE)
        draw.text((center, top - _GAP), short, fill=_TEXT, font=column_font, anchor="ms")
    for row, title in enumerate(row_titles):
        draw.text((_GAP, top + row * step + _TILE / 2), title, fill=_TEXT, font=row_font, anchor="lm")
    for y, row_images in enumerate(rows):
        for x, image in enumerate(row_images):
            tile = _resized(image)
            corner = (
                left + x * step + (_TILE - tile.width) // 2,
                top + y * step + (_TILE - tile.height) // 2,
            )
            sheet.paste(tile, corner)
    return sheet


def _resized(image: Image.Image) -> Image.Image:
    """Resize the longer side to a tile: by nearest neighbour for integer factors, else by Lanczos."""
    image = image.convert("RGB")
    long_side = max(image.size)
    size = (max(1, round(image.width * _TILE / long_side)), max(1, round(image.height * _TILE / long_side)))
    exact = _TILE % long_side == 0
    return image.resize(size, Image.Resampling.NEAREST if exact else Image.Resampling.LANCZOS)


def _fitting_font(titles: Sequence[str], width: float) -> _Font:
    """Pillow's default font in the largest size in which every title fits `width` pixels, at least 8."""
    for size in range(_FONT_SIZE, _SMALLEST_FONT, -1):
        font = ImageFont.load_default(size)
        if all(font.getlength(title) <= width for title in titles):
            return font
    return ImageFont.load_default(_SMALLEST_FONT)


def _truncated(title: str, font: _Font, width: float) -> str:
    """The title, truncated with three dots if it is wider than `width` pixels."""
    short = title
    while title and font.getlength(short) > width:
        title = title[:-1].rstrip()
        short = title + "..."
    return short
