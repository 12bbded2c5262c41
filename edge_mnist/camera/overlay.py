"""A frame and its detection in; the frame with box, digit and frames a second on it out."""

from __future__ import annotations

import contextlib
import io
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from ..classifier import Detection, Prediction

# Colours: a digit, anything else, and the text and ground of the strip.
_DIGIT, _REJECTED, _LIGHT, _DARK = "#4ade9b", "#ffc14d", "#ffffff", "#0d1319"
# Shares of the frame's shorter side: the text, the strip below the picture, the box's line.
_TEXT, _STRIP, _LINE = 0.055, 0.1, 0.008
# Share of the strip's ground that hides the picture.
_OPACITY = 0.72
# JPEG quality of frames for the page: no visible noise around the digit, 40 kB at 640×480.
_QUALITY = 85


def draw(
    frame: Image.Image, detection: Detection, *, settled: Detection | None, rate: float
) -> Image.Image:
    """Return a copy of a frame with what was read in it.

    Args:
        frame: a picture of any mode.
        detection: of this frame; without a box, its digit stands in the corner.
        settled: the detection that settled the answer, shown in the strip below.
        rate: frames a second, shown in the strip.
    """
    image = frame.convert("RGB") if frame.mode != "RGB" else frame.copy()
    short = min(image.size)
    font = _font(round(_TEXT * short))
    _draw_strip(image, settled, rate, font, height=round(_STRIP * short))
    if detection.image is not None:
        _draw_box(ImageDraw.Draw(image), detection, font, line=max(2, round(_LINE * short)))
    return image


def encode(image: Image.Image) -> bytes:
    """Return an image as a JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _draw_strip(
    image: Image.Image,
    settled: Detection | None,
    rate: float,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    *,
    height: int,
) -> None:
    width, bottom = image.width, image.height
    place = (0, bottom - height, width, bottom)
    ground = Image.new("RGB", (width, height), _DARK)
    image.paste(Image.blend(image.crop(place), ground, _OPACITY), place)
    canvas, middle, margin = ImageDraw.Draw(image), bottom - height / 2, height * 0.4
    if settled is not None:
        colour = _REJECTED if settled.prediction.digit is None else _DIGIT
        _text(canvas, (margin, middle), _answer(settled.prediction), font, colour, side=0.0)
    text = f"{rate:.1f} frames/s"
    _text(canvas, (width - margin, middle), text, font, _LIGHT, side=1.0)


def _draw_box(
    canvas: ImageDraw.ImageDraw,
    detection: Detection,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    *,
    line: int,
) -> None:
    """Draw the box, and above it a label with digit and confidence."""
    colour = _REJECTED if detection.prediction.digit is None else _DIGIT
    left, bottom = 2 * line, 0
    if detection.box is not None:
        margin = 2 * line
        box = (
            *(edge - margin for edge in detection.box[:2]),
            *(edge + margin for edge in detection.box[2:]),
        )
        # A dark line on either side, as the paper may be as bright as the box.
        casing = (box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1)
        canvas.rectangle(casing, outline=_DARK, width=line + 2)
        canvas.rectangle(box, outline=colour, width=line)
        left, bottom = box[0], box[1]
    text = _label(detection.prediction)
    x0, y0, x1, y1 = canvas.textbbox((0, 0), text, font=font)
    width, height = x1 - x0 + 4 * line, y1 - y0 + 3 * line
    left = min(max(left, 0), canvas.im.size[0] - width)
    top = max(bottom - height, 0)
    canvas.rectangle((left, top, left + width, top + height), fill=colour)
    _text(canvas, (left + width / 2, top + height / 2), text, font, _DARK, side=0.5)


def _text(
    canvas: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    colour: str,
    *,
    side: float,
) -> None:
    """Write text centred vertically at a point; `side` 0, 0.5 and 1: to its right, on it, left."""
    x0, y0, x1, y1 = canvas.textbbox((0, 0), text, font=font)
    canvas.text((at[0] - x0 - side * (x1 - x0), at[1] - (y0 + y1) / 2), text, colour, font=font)


def _answer(prediction: Prediction) -> str:
    return "no digit" if prediction.digit is None else f"{prediction.label}"


def _label(prediction: Prediction) -> str:
    if prediction.digit is None:
        return "?"
    return f"{prediction.label}  {prediction.confidence:.1%}".replace("%", " %")


@lru_cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Return Pillow's own font; before Pillow 10.1 the system's, as Pillow's has one small size."""
    try:
        return ImageFont.load_default(size)
    except TypeError:
        with contextlib.suppress(OSError):
            return ImageFont.truetype("DejaVuSans.ttf", size)
        return ImageFont.load_default()
