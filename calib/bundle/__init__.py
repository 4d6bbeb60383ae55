"""Bundle adjustment: the problem, its equations, and the solver."""

from calib.bundle.adjustment import adjust, common_time, information_by_moment, lateness
from calib.bundle.problem import HUBER, Problem, Solution

__all__ = ["HUBER", "Problem", "Solution", "adjust", "common_time", "information_by_moment", "lateness"]
