"""The command that measures large folders, on a small one: it finds the copies it has hidden."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import scale_images


@pytest.mark.slow
def test_a_folder_is_planned_and_audited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{scale_images.BEGIN}\nold\n{scale_images.END}\nafter\n", "utf-8")
    options = ["--pictures", "400", "--work", str(tmp_path), "--steps", "plan,audit"]
    scale_images.main([*options, "--docs", str(page)])
    lines = page.read_text("utf-8").splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert "old" not in lines
    rows = [line.split(" | ")[0] for line in lines if line.startswith("| ")]
    assert rows == ["| step", "| plan", "| plan again", "| audit"]
    assert "audit" in capsys.readouterr().out
    monkeypatch.setattr(scale_images, "LIMIT_GB", 0.001)
    with pytest.raises(SystemExit, match="GB: more than"):
        scale_images.main([*options[:-1], "plan"])
