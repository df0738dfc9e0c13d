"""Constants that the nodes share: precedence, kinds of expression, limits.

Compiled modules copy them into C variables, so no hot path looks them up here.
"""

TYPE_CHECKING = False  # so that importing this does not import typing
if TYPE_CHECKING:
    from typing import Final

# Precedence. An operand of lower precedence than its operator needs gets parentheses. Bit
# operators, and others such as ``||``, have another precedence in every dialect, so they never mix
# without parentheses. A raw fragment may be anything.
LOOSE: "Final" = 0
NOT: "Final" = 30
BETWEEN: "Final" = 39
COMPARE: "Final" = 40
BITS: "Final" = 50
ADD: "Final" = 60
MUL: "Final" = 70
UNARY: "Final" = 80
ATOM: "Final" = 100

# Kinds of expression: a value, a condition, or either (unknown). An odd value is a row or may be
# NULL, and is checked before it is compared.
ODD_VALUE: "Final" = -1
VALUE: "Final" = 0
PREDICATE: "Final" = 1
UNKNOWN: "Final" = 2

# Families of values, where an operator depends on them; 0 is any other.
TEXT: "Final" = 1
ARRAY: "Final" = 2
JSON: "Final" = 3

# Why a comparison can never be true, as bits: NULL itself, a NULL in a row, a slot that may be
# filled with NULL.
NULL: "Final" = 1
NULL_IN_ROW: "Final" = 2
MAYBE_NULL: "Final" = 4

# The maximum nesting, which Python's stack and the servers' parsers can handle.
MAX_DEPTH: "Final" = 200
