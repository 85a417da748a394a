"""How an image's camera saw a reference photo: from where, and in which light."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clc.codec.references.displacements import Displacements
from clc.codec.references.light import Light
from clc.codec.references.warp import warp


@dataclass(frozen=True, eq=False)
class View:
    """corners: int32 [4, 2], where those of the image lie in the photo (see `warp`). displacements: what refines that.

    light: that of the image, where the photo's is another.
    """

    corners: NDArray[np.int32]
    displacements: Displacements | None = None
    light: Light | None = None

    @cached_property
    def is_plain(self) -> bool:
        """Whether the photo is seen as it is."""
        return self.displacements is None and self.light is None and not self.corners.any()

    def of(
        self, photo: NDArray[np.uint8], height: int, width: int, shape: tuple[int, int] | None = None
    ) -> NDArray[np.uint8]:
        """What an image of `height`×`width` pixels shows of a photo uint8 [h, w, 3]: uint8 [height, width, 3].

        shape: of the result instead; rows and columns may go on beyond the image. Raises as `warp` does.
        """
        seen = warp(photo, self.corners, height, width, shape or (height, width), self.displacements)
        return seen if self.light is None else self.light.on(seen)
