"""Blocks of 16×16 pixels coded by a linear transform: what catches a picture that the network fails on.

A block's difference from the network's picture, or from grey where there is none, goes through the cosine transform of
8×8 pixels and is rounded to a grid of powers of two. The grid of a quality contains that of every lower one, so no
coefficient gets worse as the quality rises. Nothing here is learned: a pattern that no photo ever showed costs what its
coefficients cost. Statistics adapt from one row of blocks to the next, in integers (docs/bitstream.md).
"""

from clc.codec.linear.coder import LinearCoder
from clc.codec.linear.grids import FINENESS, first_finer
from clc.codec.linear.transform import BLOCK, grid_shape

__all__ = ["BLOCK", "FINENESS", "LinearCoder", "first_finer", "grid_shape"]
