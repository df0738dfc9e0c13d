"""``python -m godropbox.fleet``: plan a change of a fleet, fill and drain servers, watch them.

``planning`` says what moves, ``copying`` copies keys from server to server with ``task``, ``ends``,
``listing`` and ``following``; ``watching`` asks all servers how they are; ``tables`` and ``svg``
show it. From Python: `plan` and `moving`.
"""

from .planning import Alternative, Layout, Load, Move, Plan, Planner, moving, plan

__all__ = ["Alternative", "Layout", "Load", "Move", "Plan", "Planner", "moving", "plan"]
