"""L-BFGS for many independent problems at once.

Every row of a ``(B, n)`` tensor is a problem of its own, with its own curvature pairs. The
updates are those of ``torch.optim.LBFGS`` without a line search, evaluated once per
iteration; rows do not mix, and nothing is read back to the host.

Unit steps are not always safe. A Gram loss grows with the fourth power of the step, and one
step too long may raise it by ten orders of magnitude; its gradient then spoils the history
for long. An evaluation like that is refused: the row goes back to where it came from, forgets
what it saw, and takes a shorter step the same way. A row that never overshoots makes the very
steps it would make without the guard.

The two-loop recursion (Nocedal 1980) is written as two triangular systems, so that one
iteration reads the history twice in a handful of large products, where the recursion reads
it four times in hundreds of small ones. With pairs ``S, Y`` in order of age,
``R = triu(S'Y)``, ``D = diag(R)``, ``q = -g`` and ``γ = s'y / y'y`` of the newest pair:

    R α = S'q,   R' δ = D α - γ (Y'q - Y'Y α),   d = γ (q - Y α) + S δ

(first loop: ``α``; second loop: ``δ = α - β``).
"""

from __future__ import annotations

import torch

from bench_neural_style.losses import row_products, row_sum

_MIN_CURVATURE = 1e-10
"""A pair with less curvature ``y's`` is not stored; the value is torch.optim.LBFGS's."""

_OVERSHOOT = 10.0
"""A loss that lies so many times the lowest one above it is refused."""

_SHORTEST, _LONGEST = 1e-3, 0.5
"""Bounds on how much of a refused step is tried next."""


class BatchedLBFGS:
    """L-BFGS with unit steps on every row of a tensor.

    Parameters
    ----------
    like
        ``(B, n)``: gives shape, type and device of the problems.
    history
        Curvature pairs kept for each row.
    learning_rate
        Step length; the very first step is shortened to ``min(1, 1 / |g|_1)`` of it.
    tolerance_grad, tolerance_change
        A row stands still while its largest gradient entry or its expected decrease is
        below these.
    """

    def __init__(
        self,
        like: torch.Tensor,
        *,
        history: int = 100,
        learning_rate: float = 1.0,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
    ) -> None:
        rows, size = like.shape
        self.history, self.learning_rate = history, learning_rate
        self.tolerance_grad, self.tolerance_change = tolerance_grad, tolerance_change
        self.iteration = 0
        # Pages are touched only once pairs are written into them.
        self._s = like.new_zeros((rows, history, size))
        self._y = like.new_zeros((rows, history, size))

        # Inner products are small and decide the direction: float64 throughout.
        def wide(*shape: int) -> torch.Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=like.device)

        self._sy, self._yy = wide(rows, history, history), wide(rows, history, history)
        self._gamma = wide(rows, 1) + 1.0
        self._count = torch.zeros(rows, dtype=torch.int64, device=like.device)
        self._row = torch.arange(rows, device=like.device)
        self._previous = like.new_zeros(like.shape)
        self._step = like.new_zeros(like.shape)
        self._origin = like.new_zeros(like.shape)
        self._lowest = like.new_full((rows, 1), torch.inf)

    @torch.no_grad()
    def step(self, x: torch.Tensor, loss: torch.Tensor, grad: torch.Tensor) -> None:
        """Move `x` in place, given loss and gradient at `x`: ``(B, n)``, ``(B,)``, ``(B, n)``."""
        loss = loss[:, None]
        if self.iteration == 0:
            refused = torch.zeros_like(loss, dtype=torch.bool)
            direction = grad.neg()
            length = row_sum(grad.abs())[:, None].reciprocal().clamp(max=1.0)
            length = length * self.learning_rate
        else:
            bound = self._lowest + _OVERSHOOT * self._lowest.abs()
            refused = ~(loss <= bound)  # a NaN is refused, too
            used = min(self.iteration, self.history)
            products = self._remember(grad, used, ~refused[:, 0])
            direction = self._direction(grad, products, used)
            length = torch.full_like(grad[:, :1], self.learning_rate)
        descent = row_sum(grad * direction)[:, None]
        moving = (grad.abs().amax(1, keepdim=True) > self.tolerance_grad) & (
            descent <= -self.tolerance_change
        )
        step = torch.where(moving, direction * length, 0.0)
        shorter = (self._lowest / loss).pow(0.25).nan_to_num(0.0) * _LONGEST
        shorter = shorter.clamp(_SHORTEST, _LONGEST)
        self._step = torch.where(refused, self._step * shorter, step)
        self._origin = torch.where(refused, self._origin, x)
        self._previous = torch.where(refused, self._previous, grad)
        self._lowest = torch.where(refused, self._lowest, torch.minimum(self._lowest, loss))
        torch.add(self._origin, self._step, out=x)
        self.iteration += 1

    def _remember(
        self, grad: torch.Tensor, used: int, accepted: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store the newest pair of the rows `accepted`, ``(B,)``, where it has curvature.

        Gives ``S'q`` and ``Y'q``, ``(B, used)``.
        """
        change = grad - self._previous
        curvature = row_sum(change * self._step)
        valid = accepted & (curvature > _MIN_CURVATURE)
        slot, row = self._count % self.history, self._row
        keep = valid[:, None]
        self._s[row, slot] = torch.where(keep, self._step, self._s[row, slot])
        self._y[row, slot] = torch.where(keep, change, self._y[row, slot])

        columns = torch.stack([grad.neg(), change], dim=2)  # (B, n, 2)
        with_s = row_products(self._s[:, :used], columns).double()
        with_y = row_products(self._y[:, :used], columns).double()
        sy, yy = self._sy[:, :used, :used], self._yy[:, :used, :used]
        sy[row, :, slot] = torch.where(keep, with_s[:, :, 1], sy[row, :, slot])
        new = torch.where(keep, with_y[:, :, 1], yy[row, :, slot])
        yy[row, :, slot] = new
        yy[row, slot, :] = new
        square = row_sum(change.square())
        self._gamma = torch.where(keep, (curvature / square).double()[:, None], self._gamma)
        self._count += valid
        return with_s[:, :, 0], with_y[:, :, 0]

    def _direction(
        self, grad: torch.Tensor, products: tuple[torch.Tensor, torch.Tensor], used: int
    ) -> torch.Tensor:
        """``-H g`` of every row, (B, n)."""
        # Slots are reused in a ring: put them in order of age first.
        oldest = (self._count - self.history).clamp(min=0)[:, None]
        order = (oldest + torch.arange(used, device=grad.device)) % self.history
        across = order[:, None, :].expand(-1, used, -1)
        down = order[:, :, None].expand(-1, -1, used)
        r = self._sy[:, :used, :used].gather(1, down).gather(2, across).triu()
        yy = self._yy[:, :used, :used].gather(1, down).gather(2, across)
        sq, yq = (product.gather(1, order)[:, :, None] for product in products)

        diagonal = r.diagonal(dim1=1, dim2=2)
        empty = diagonal == 0
        r = r + torch.diag_embed(empty.double())  # an empty slot solves to 0
        alpha = torch.linalg.solve_triangular(r, sq, upper=True)
        gamma = self._gamma[:, :, None]
        right = diagonal[:, :, None] * alpha - gamma * (yq - yy @ alpha)
        delta = torch.linalg.solve_triangular(r.mT, right, upper=False)

        # Back from order of age to slots.
        alpha = torch.zeros_like(alpha[:, :, 0]).scatter(1, order, alpha[:, :, 0])
        delta = torch.zeros_like(delta[:, :, 0]).scatter(1, order, delta[:, :, 0])
        kind = grad.dtype
        direction: torch.Tensor = grad * -self._gamma.to(kind)
        direction += row_products(delta.to(kind)[:, None], self._s[:, :used])[:, 0]
        direction -= row_products((alpha * self._gamma).to(kind)[:, None], self._y[:, :used])[:, 0]
        return direction
