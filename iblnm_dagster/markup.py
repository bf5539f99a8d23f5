"""Texts that come from data, on a page that takes texts for markdown."""

from __future__ import annotations

import re

# an opening tag or address; the end of what an image or link shows; a definition of one
_MARKUP = re.compile(r"<(?=[A-Za-z/!?])|(?<=\])(?=[(\[:])")


def without_markup(text: str) -> str:
    """A text in one line that holds no image, link or tag, as markdown or as it is.

    Examples
    --------
    >>> without_markup("![x](/graphql?query=mutation{y}) <img src=z> is < 3 in NBM_1")
    '![x] (/graphql?query=mutation{y}) ‹img src=z> is < 3 in NBM_1'
    """
    flat = " ".join(str(text).split())
    return _MARKUP.sub(lambda found: "‹" if found[0] else " ", flat)
