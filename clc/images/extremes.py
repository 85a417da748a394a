"""What photos seldom are: far out of focus, or in colours that hardly fit the range."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

_BLUR = 2.0, 16.0  # deviation of the Gaussian, in pixels
_SATURATION = 2.0, 8.0
_LUMA = np.array([0.299, 0.587, 0.114])


def out_of_focus(photo: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """The photo uint8 [s, s, 3], strongly blurred."""
    deviation = _BLUR[0] * (_BLUR[1] / _BLUR[0]) ** generator.random()
    return np.array(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(deviation)))


def oversaturated(photo: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """The photo uint8 [s, s, 3] in much stronger colours, clipped where they leave the range."""
    grey = (photo @ _LUMA)[..., None]
    return np.round(np.clip(grey + generator.uniform(*_SATURATION) * (photo - grey), 0.0, 255.0)).astype(np.uint8)
