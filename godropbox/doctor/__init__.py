"""``python -m godropbox doctor``: what is wrong with servers, a fleet or this installation.

``probing`` asks the servers, ``rules`` says what their answers mean and what to do, ``fleets``
reads files of fleets and compares where they place keys, ``report`` prints. From Python: `examine`
asks servers, `findings_of` and `compare` judge.
"""

from .facts import Facts, Finding, Level, Reached
from .fleets import Comparison, FleetFile, FleetFileError, compare, read_fleet
from .probing import Settings, examine
from .rules import findings_of

__all__ = [
    "Comparison",
    "Facts",
    "Finding",
    "FleetFile",
    "FleetFileError",
    "Level",
    "Reached",
    "Settings",
    "compare",
    "examine",
    "findings_of",
    "read_fleet",
]
