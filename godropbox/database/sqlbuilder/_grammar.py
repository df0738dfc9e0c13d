"""Numbers that the nodes share: binding strength, kinds of expression, limits, dialects.

Compiled modules copy what they need into C variables, so nothing here is looked up in a hot path.
"""

TYPE_CHECKING = False  # so that importing this does not import typing
if TYPE_CHECKING:
    from typing import Final

# How tightly an expression's text holds together; an operand looser than its operator asks for
# gets parentheses. Bit operators rank differently in every dialect, so they mix with nothing.
NOT: "Final" = 30
BETWEEN: "Final" = 39
COMPARE: "Final" = 40
BITS: "Final" = 50
ADD: "Final" = 60
MUL: "Final" = 70
ATOM: "Final" = 100

# What an expression may stand for: a value, a truth value, or either; or a value to ask before it
# is compared, because it is a row or may be NULL.
ODD_VALUE: "Final" = -1
VALUE: "Final" = 0
PREDICATE: "Final" = 1
UNKNOWN: "Final" = 2

# What keeps a comparison from ever being true, as bits: NULL itself, a row that holds one, a slot
# that may be filled with one.
NULL: "Final" = 1
NULL_IN_ROW: "Final" = 2
MAYBE_NULL: "Final" = 4

# Nesting that neither Python's stack nor a server's parser would bear is refused when built.
MAX_DEPTH: "Final" = 200

# Dialects by number, and as bits for what a set of them allows.
MYSQL: "Final" = 0
SQLITE: "Final" = 1
POSTGRESQL: "Final" = 2
IN_MYSQL: "Final" = 1
IN_SQLITE: "Final" = 2
IN_POSTGRESQL: "Final" = 4
