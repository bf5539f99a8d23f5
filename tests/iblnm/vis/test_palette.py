"""Targets are told apart by the color-blind, and without any color."""

from itertools import combinations

import numpy as np
import pytest

from iblnm.config import Settings
from iblnm.vis.style import target_color, target_style

# Machado, Oliveira, Fernandes 2009 (doi:10.1109/TVCG.2009.113), table of severity 1.0,
# on linear RGB
DICHROMATS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
# IEC 61966-2-1, D65
RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
JUST_NOTICEABLE = 2.3


def _linear(color):
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear):
    """CIE 1976 L*a*b*."""
    t = RGB_TO_XYZ @ np.clip(linear, 0, 1) / RGB_TO_XYZ.sum(axis=1)
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _distance(a, b, vision):
    seen = [_lab(DICHROMATS[vision] @ _linear(color)) for color in (a, b)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def test_the_simulation_knows_white_and_the_red_that_protanopes_miss():
    assert _lab(_linear("#ffffff")) == pytest.approx([100, 0, 0], abs=0.01)
    red_green = [_distance("#8c6a00", "#c04a00", vision) for vision in DICHROMATS]
    assert red_green[0] > 3 * red_green[1]


@pytest.mark.parametrize("vision", list(DICHROMATS))
def test_every_pair_of_targets_is_eight_just_noticeable_differences_apart(vision):
    colors = Settings().target_colors
    distances = {
        pair: _distance(colors[pair[0]], colors[pair[1]], vision)
        for pair in combinations(colors, 2)
    }
    closest = min(distances, key=distances.get)
    assert distances[closest] >= 8 * JUST_NOTICEABLE, (closest, distances[closest])


@pytest.mark.parametrize("vision", list(DICHROMATS))
def test_every_target_shows_on_white_paper(vision):
    for target, color in Settings().target_colors.items():
        assert _distance(color, "#ffffff", vision) > 20, target


def test_markers_are_all_different_and_families_differ_in_line_style():
    settings = Settings()
    styles = {target: target_style(target, settings) for target in settings.valid_targets}
    assert len({style["marker"] for style in styles.values()}) == len(styles)
    families = {}
    for target, style in styles.items():
        families.setdefault(target.split("-")[1], []).append(style["linestyle"])
    for nm, lines in families.items():
        assert len(set(lines)) == len(lines), nm


@pytest.mark.parametrize(
    "others", [("DLS-DA", "DMS-DA", "NAcc-DA"), ("DLS", "DMS", "NAcc"), ("DR-DA", "VTA-5HT", None)]
)
def test_targets_that_the_settings_do_not_know_differ_and_are_no_known_one(others):
    settings = Settings()
    colors = [target_color(name, settings) for name in others]
    for one, other in combinations(colors, 2):
        assert _distance(one, other, "normal") > 8 * JUST_NOTICEABLE
    assert not set(colors) & set(settings.target_colors.values())
    known = {target_style(name, settings)["marker"] for name in settings.valid_targets}
    assert known.isdisjoint(target_style(name, settings)["marker"] for name in others)
    assert target_color("unknown", settings) == target_color(None, settings)
