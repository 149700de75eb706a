"""What eyes see of colours: colour-blind ones too, and how far colours look apart."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np

# Machado, Oliveira and Fernandes 2009, severity 1: what colour-blind eyes make of linear RGB.
SIGHT = {
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
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
D65 = np.array([0.9505, 1.0, 1.0890])

# CIE 159:2004: the cone responses of the adaptation, and of Hunt, Pointer and Estevez.
_CAT02 = np.array([[0.7328, 0.4296, -0.1624], [-0.7036, 1.6975, 0.0061], [0.0030, 0.0136, 0.9834]])
_HPE = np.array([[0.38971, 0.68898, -0.07868], [-0.22981, 1.18340, 0.04641], [0.0, 0.0, 1.0]])


def seen_as(colours: list[str] | tuple[str, ...], sight: str) -> np.ndarray:
    """Linear RGB (n, 3) that eyes of a kind of sight make of colours."""
    rgb = np.array([mpl.colors.to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.clip(linear @ SIGHT[sight].T, 0, 1)


def lab(linear: np.ndarray) -> np.ndarray:
    """CIELAB (n, 3) of linear RGB (n, 3): distances are about as large as they look."""
    xyz = linear @ _TO_XYZ.T / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.column_stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])]
    )


def ciecam02(
    xyz: np.ndarray, white: np.ndarray, luminance: float, ground: float = 20.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lightness J, chroma C and hue angle h (degrees) of CIECAM02, in an average surround.

    Args:
        xyz: colours (n, 3), on the white's scale.
        white: (3,) of the white, its Y 100.
        luminance: of the field that the eye is adapted to, in cd/m².
        ground: luminance of the background, relative to the white's 100.
    """
    k = 1 / (5 * luminance + 1)
    f_l = 0.2 * k**4 * 5 * luminance + 0.1 * (1 - k**4) ** 2 * (5 * luminance) ** (1 / 3)
    n = ground / white[1]
    n_bb = 0.725 * n**-0.2
    adapted = 1 - np.exp(-(luminance + 42) / 92) / 3.6
    white_cones = _CAT02 @ white
    gains = white[1] * adapted / white_cones + 1 - adapted
    to_hpe = _HPE @ np.linalg.inv(_CAT02)

    def responses(cones: np.ndarray) -> np.ndarray:
        bright = cones * gains @ to_hpe.T
        power = (f_l * np.abs(bright) / 100) ** 0.42
        return np.sign(bright) * 400 * power / (power + 27.13) + 0.1

    r, g, b = responses(xyz @ _CAT02.T).T
    a_w = np.array([2, 1, 0.05]) @ responses(white_cones) - 0.305
    red, yellow = r - 12 * g / 11 + b / 11, (r + g - 2 * b) / 9
    hue = np.arctan2(yellow, red)
    lightness = 100 * (np.maximum(2 * r + g + 0.05 * b - 0.305, 0) / a_w) ** (
        0.69 * (1.48 + np.sqrt(n))
    )
    eccentricity = (np.cos(hue + 2) + 3.8) / 4
    t = 50000 / 13 * n_bb * eccentricity * np.hypot(red, yellow) / (r + g + 1.05 * b)
    chroma = t**0.9 * np.sqrt(lightness / 100) * (1.64 - 0.29**n) ** 0.73
    return lightness, chroma, np.degrees(hue) % 360


def cam02_ucs(linear: np.ndarray) -> np.ndarray:
    """CAM02-UCS (n, 3) of linear RGB (n, 3), seen on a screen of 64 lux (Luo et al. 2006)."""
    luminance = 64 / np.pi / 5
    lightness, chroma, hue = ciecam02(100 * linear @ _TO_XYZ.T, 100 * D65, luminance)
    k = 1 / (5 * luminance + 1)
    f_l = 0.2 * k**4 * 5 * luminance + 0.1 * (1 - k**4) ** 2 * (5 * luminance) ** (1 / 3)
    colourfulness = np.log1p(0.0228 * chroma * f_l**0.25) / 0.0228
    angle = np.radians(hue)
    return np.column_stack(
        [
            1.7 * lightness / (1 + 0.007 * lightness),
            colourfulness * np.cos(angle),
            colourfulness * np.sin(angle),
        ]
    )


def least_distance(colours: list[str] | tuple[str, ...], sight: str) -> float:
    """The least CAM02-UCS distance between any two colours, for eyes of a kind of sight."""
    seen = cam02_ucs(seen_as(colours, sight))
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=2)
    return float(apart[np.triu_indices(len(colours), 1)].min())
