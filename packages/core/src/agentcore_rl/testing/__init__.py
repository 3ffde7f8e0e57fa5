"""Tools to test agents, adapters and stores with: a model that plays a script, and contracts as tests.

Nothing is imported before it is asked for, so that a test which needs one tool pays for that tool alone.
"""

import sys
from typing import TYPE_CHECKING

from agentcore_rl.late_imports import late_imports

if TYPE_CHECKING:
    from agentcore_rl.testing.adapter_conformance import AdapterConformance
    from agentcore_rl.testing.adapter_conformance_deviations import measure_deviations
    from agentcore_rl.testing.script import (
        Answer,
        CutBody,
        CutStream,
        Drop,
        Line,
        Raw,
        ScriptError,
        Stall,
        Status,
        StreamStyle,
        Timeout,
        ToolCall,
    )
    from agentcore_rl.testing.scripted_model import ScriptedModel
    from agentcore_rl.testing.served_call import ServedCall
    from agentcore_rl.testing.store_conformance import NoticesConformance, RecordStoreConformance

__all__ = [
    "AdapterConformance",
    "Answer",
    "CutBody",
    "CutStream",
    "Drop",
    "Line",
    "NoticesConformance",
    "Raw",
    "RecordStoreConformance",
    "ScriptError",
    "ScriptedModel",
    "ServedCall",
    "Stall",
    "Status",
    "StreamStyle",
    "Timeout",
    "ToolCall",
    "measure_deviations",
]

_CONTRACTS = (
    "adapter_conformance",
    "adapter_conformance_faults",
    "adapter_conformance_recording",
    "store_conformance",
)
if "pytest" in sys.modules:
    # A contract that is broken shows what was seen, as assertions in one's own tests do.
    sys.modules["pytest"].register_assert_rewrite(*(f"{__name__}.{name}" for name in _CONTRACTS))

__getattr__, __dir__ = late_imports(
    __name__,
    {
        "adapter_conformance": ("AdapterConformance",),
        "adapter_conformance_deviations": ("measure_deviations",),
        "script": (
            "Answer",
            "CutBody",
            "CutStream",
            "Drop",
            "Line",
            "Raw",
            "ScriptError",
            "Stall",
            "Status",
            "StreamStyle",
            "Timeout",
            "ToolCall",
        ),
        "scripted_model": ("ScriptedModel",),
        "served_call": ("ServedCall",),
        "store_conformance": ("NoticesConformance", "RecordStoreConformance"),
    },
)
