"""The asyncio programs in the documents, for those who run them and those who check their types.

A program is a Python block that begins with ``import asyncio`` and ends in the call that runs it.
The text block after it is what it prints. In it ``127.0.0.1:11211`` stands for a server's address.
"""

import re
from pathlib import Path
from typing import Final

__all__ = ["ADDRESS", "ROOT", "programs"]

ROOT: Final = Path(__file__).parent.parent.parent
ADDRESS: Final = "127.0.0.1:11211"
DOCUMENTS: Final = {"README.md": 1, "docs/asyncio.md": 4}

_BLOCKS = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def programs() -> dict[str, tuple[str, str]]:
    """Return the programs, with what each of them prints, by name."""
    found = {}
    for document, count in DOCUMENTS.items():
        blocks = _BLOCKS.findall((ROOT / document).read_text(encoding="utf-8"))
        at = 0
        for (kind, code), (after, text) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
            if kind == "python" and code.endswith("run(main())\n"):
                at += 1
                assert after == "text", f"{document} does not say what program {at} prints"
                found[f"{Path(document).stem}-{at}"] = code, text
        assert at == count, f"{document} has {at} programs, not {count}"
    return found
