"""Which symbols to change next: few enough that what each saves hardly depends on the others."""

import torch
from torch import Tensor


def best_changes(smaller: Tensor, larger: Tensor, share: float) -> Tensor:
    """What to add to a latent [1, C, h, w]: -1 or 1 at the best symbol of a position, 0 elsewhere and at most others.

    smaller, larger: what the cost grows by, as foretold, if that symbol alone is one smaller or larger.
    share: of the positions where it would fall, the part that changes, those that save most; at least one does.
    """
    growth = torch.minimum(smaller, larger)
    best = growth.amin(dim=1, keepdim=True)
    saving = best[best < 0]
    if not len(saving):
        return torch.zeros_like(growth)
    number = max(1, round(share * len(saving)))
    chosen = (growth <= best) & (growth <= saving.kthvalue(number).values)
    return torch.where(chosen, torch.where(smaller < larger, -1.0, 1.0), 0.0)
