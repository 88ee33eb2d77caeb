"""Contact sheets: pictures side by side with readable titles."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_PAPER = (250, 250, 248)
_INK = (32, 32, 36)


def _fit(image: Image.Image, tile: int) -> Image.Image:
    """Scale the long side to `tile`: whole multiples by nearest neighbour, anything else by LANCZOS."""
    image = image.convert("RGB")
    long_side = max(image.size)
    size = (max(1, round(image.width * tile / long_side)), max(1, round(image.height * tile / long_side)))
    exact = tile % long_side == 0
    return image.resize(size, Image.Resampling.NEAREST if exact else Image.Resampling.LANCZOS)


def _font_that_fits(
    titles: Sequence[str], width: float, largest: int
) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, as large as lets every title fit into `width` pixels (not below 8)."""
    for size in range(largest, 8, -1):
        font = ImageFont.load_default(size)
        if all(font.getlength(title) <= width for title in titles):
            return font
    return ImageFont.load_default(8)


def _shortened(title: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """The title, or as much of it as fits, with three dots."""
    short = title
    while title and font.getlength(short) > width:
        title = title[:-1].rstrip()
        short = title + "..."
    return short


def contact_sheet(
    rows: Sequence[Sequence[Image.Image]],
    *,
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
    tile: int = 128,
    gap: int = 6,
) -> Image.Image:
    """One RGB picture with every image on a square of `tile` pixels, `gap` pixels apart.

    Rows may have different lengths. Column titles stand above, row titles to the left; Latin script only.
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
    largest = max(11, tile // 8)
    column_font = _font_that_fits(column_titles, tile, largest)
    row_font = ImageFont.load_default(largest)
    left = gap + max((int(row_font.getlength(title)) + 1 + gap for title in row_titles), default=0)
    top = gap + (largest + gap if column_titles else 0)
    step = tile + gap
    sheet = Image.new("RGB", (left + num_columns * step, top + len(rows) * step), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(column_titles):
        center = left + column * step + tile / 2
        short = _shortened(title, column_font, tile)
        draw.text((center, top - gap), short, fill=_INK, font=column_font, anchor="ms")
    for row, title in enumerate(row_titles):
        draw.text((gap, top + row * step + tile / 2), title, fill=_INK, font=row_font, anchor="lm")
    for y, row_images in enumerate(rows):
        for x, image in enumerate(row_images):
            picture = _fit(image, tile)
            corner = (
                left + x * step + (tile - picture.width) // 2,
                top + y * step + (tile - picture.height) // 2,
            )
            sheet.paste(picture, corner)
    return sheet
