"""Pictures inside of the page: any figure of matplotlib as SVG that takes its ink and its paper from the page."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Callable
from hashlib import sha256
from io import StringIO
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_SATURATION = 0.12
"""A colour with less is a grey: a mixture of ink and paper."""
SETTINGS: dict[Any, Any] = {"svg.fonttype": "path", "svg.hashsalt": "report", "text.parse_math": False}
"""Letters as outlines, which look alike everywhere; equal pictures are equal texts; a `$` in a name is a `$`."""
POINTS_PER_INCH = 72
NARROWEST_SHARE = 0.92
"""A picture is shown no smaller than this share of its size: letters stay legible, and its box scrolls instead."""


def picture(title: str, draw: Callable[[], Figure]) -> Markup:
    """The drawn figure as inline SVG with its title as caption and as text for people who cannot see it.

    Args:
        title: one sentence that says what is shown.
        draw: makes a figure of matplotlib, which is closed here.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(SETTINGS):
        figure = draw()
        written = StringIO()
        figure.savefig(written, format="svg", transparent=False, metadata={"Date": None})
        width = POINTS_PER_INCH * figure.get_figwidth()
        pyplot.close(figure)
    svg = inline_svg(written.getvalue(), title, round(NARROWEST_SHARE * width))
    return Markup(
        f'<figure style="--drawn: {width:.0f}px">'
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(title)}">{svg}</div>'
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )


def inline_svg(text: str, title: str, narrowest: int) -> str:
    """A file of matplotlib as an element of a page: no links, names of its own, and the page's ink and paper.

    Args:
        text: the SVG file.
        title: the element's text for people who cannot see it.
        narrowest: its least width, in pixels.
    """
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.DOTALL)
    inside = re.sub(r"<svg[^>]*>", "", body, count=1, flags=re.DOTALL)
    [box] = re.findall(r'viewBox="([^"]*)"', body[: body.index(">")])
    inside = inside.replace("xlink:href", "href")
    inside = re.sub(r"(?<=: )#[0-9a-f]{6}\b", lambda found: page_colour(found.group()), inside)
    own = f"p{sha256((title + text).encode()).hexdigest()[:8]}-"
    inside = re.sub(r'\bid="', f'id="{own}', inside)
    inside = re.sub(r'href="#', f'href="#{own}', inside)
    inside = inside.replace("url(#", f"url(#{own}")
    return f'<svg role="img" aria-label="{escape(title)}" viewBox="{box}" style="min-width: {narrowest}px">{inside}'


def page_colour(colour: str) -> str:
    """A colour as it is, or a grey as a mixture of the page's ink (black) and paper (white); from `#rrggbb`."""
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    lightness, saturation = colorsys.rgb_to_hls(red, green, blue)[1:]
    if saturation > LEAST_SATURATION:
        return colour
    return f"color-mix(in srgb, var(--paper) {100 * lightness:.0f}%, var(--ink))"
