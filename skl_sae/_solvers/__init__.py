"""Solvers: they minimise an objective and know nothing of autoencoders.

Each is a class in a file of its own, with a row in `SOLVERS`; its attributes declare what it needs (see `Solver`).
"""

from typing import Literal, TypeAlias

from .adam import Adam
from .base import Result, Solver
from .layout_1 import Training
from .lbfgs import LBFGS
from .monitor import Monitor

__all__ = ["LBFGS", "SOLVERS", "Adam", "Monitor", "Result", "Solver", "SolverName", "Training"]

# For the annotations of public functions; a test compares it with the table.
SolverName: TypeAlias = Literal["lbfgs", "adam"]

SOLVERS: dict[str, type[Solver]] = {solver.name: solver for solver in (LBFGS, Adam)}
