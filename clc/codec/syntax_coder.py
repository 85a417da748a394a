"""The coder of the syntax: each number has a mean and a table of its own, which follow from ẑ."""

import torch
from torch import Tensor

from clc.codec.entropy import TableCoder, flat_integers
from clc.errors import BitstreamError

SYNTAX_LIMIT = 500.0
"""Largest magnitude of a number, in quantisation steps: a hundred times what generators make."""


class SyntaxCoder:
    """Codes numbers as whole steps from their means, with the tables of the latent.

    >>> from clc.model.priors.tables import gaussian_tables
    >>> coder = SyntaxCoder(TableCoder(gaussian_tables()))
    >>> mean, level = torch.tensor([[0.25, -3.0]]), torch.tensor([[10.0, 24.0]])
    >>> data, numbers = coder.encode(torch.tensor([[1.5, 2.4]]), mean, level)
    >>> numbers.tolist(), torch.equal(coder.decode(data, mean, level), numbers)
    ([[1.25, 2.0]], True)
    """

    def __init__(self, tables: TableCoder) -> None:
        self._tables = tables

    def encode(self, aim: Tensor, mean: Tensor, level: Tensor) -> tuple[bytes, Tensor]:
        """The section, and the numbers float64 that `decode` reads from it: those nearest to `aim`.

        aim: [1, n]; mean, level: [1, n] each, of the frozen prior of the syntax.
        """
        bounded = aim.double().clamp(-SYNTAX_LIMIT, SYNTAX_LIMIT)
        symbols = torch.floor(bounded - mean.double() + 0.5)
        stack = self._tables.empty()
        self._tables.push(stack, flat_integers(symbols), flat_integers(level))
        return self._tables.close(stack), symbols + mean.double()

    def decode(self, data: bytes, mean: Tensor, level: Tensor) -> Tensor:
        """The numbers, float64 [1, n], where `mean` is. Raises BitstreamError for a section that is damaged."""
        stack = self._tables.open(data)
        symbols = self._tables.pop(stack, flat_integers(level))
        self._tables.check_end(stack)
        numbers = torch.from_numpy(symbols).double().view(mean.shape).to(mean.device) + mean.double()
        if numbers.abs().max() > SYNTAX_LIMIT + 0.5:
            raise BitstreamError("entropy-coded stream is damaged: a number of the syntax is out of range")
        return numbers
