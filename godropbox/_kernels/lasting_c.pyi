from typing import TypeVar

__all__ = ["lasting"]

_Value = TypeVar("_Value")

def lasting(value: _Value) -> _Value: ...
