"""What tests of reports share."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentcore_rl.read import Run
from agentcore_rl.report import write_report
from report_runs import carried


@pytest.fixture
def page_of(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Writes a report of runs: its index, and all its rollouts."""

    def write(*runs: Run, **options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        page = write_report(runs, tmp_path / "report.html", **options).path.read_text()
        rollouts = [
            json.loads(text)
            for number in range(len(re.findall(r'id="chunk-\d+"', page)))
            for text in carried(page, f"chunk-{number}").split(b"\x1e")[1:]
        ]
        return json.loads(carried(page, "index")), rollouts

    return write
