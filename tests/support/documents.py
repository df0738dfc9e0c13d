"""The programs in the documents, for those who run them and those who check their types.

A program is a Python block with a text block after it, which is what it prints. In it
``127.0.0.1:11211`` and ``127.0.0.1:11212`` stand for the addresses of two servers.
"""

import re
from pathlib import Path
from typing import Final

__all__ = ["ADDRESS", "ROOT", "SECOND", "programs"]

ROOT: Final = Path(__file__).parent.parent.parent
ADDRESS: Final = "127.0.0.1:11211"
SECOND: Final = "127.0.0.1:11212"
DOCUMENTS: Final = {
    "README.md": 1,
    "docs/asyncio.md": 4,
    "docs/concepts/leases.md": 1,
    "docs/start/asyncio.md": 1,
    "docs/start/sync.md": 1,
}

_BLOCKS = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def programs() -> dict[str, tuple[str, str]]:
    """Return the programs, with what each of them prints, by name."""
    found = {}
    for document, count in DOCUMENTS.items():
        blocks = _BLOCKS.findall((ROOT / document).read_text(encoding="utf-8"))
        at = 0
        for (kind, code), (after, text) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
            if kind == "python" and after == "text":
                at += 1
                found[f"{document.removesuffix('.md').replace('/', '-')}-{at}"] = code, text
            assert after == "text" or not code.endswith("run(main())\n"), (
                f"{document} does not say what a program prints"
            )
        assert at == count, f"{document} has {at} programs, not {count}"
    return found
