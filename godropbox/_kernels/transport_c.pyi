from ._channels import Channel, Talk

class Line:
    channel: Channel
    fd: int
    clean: bool
    begun: bool
    def __init__(self, channel: Channel, seconds: float | None) -> None: ...
    def get(
        self, verb: bytes, key: str | bytes, prefix: bytes, seconds: float | None = None
    ) -> tuple[int, bytes | None, int, int]: ...

def carry(lines: list[Line], talks: list[Talk], seconds: float | None) -> None: ...
def unfit(lines: list[Line]) -> list[int]: ...
