"""Where a calibration is written: its folder, files that must not be overwritten, and rejected results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calib import match_views, save_rig
from calib.calibration import Calibration
from mvcap.errors import InputError
from mvcap.structures.session import Session

_GENERAL = ("videos", "images", "extrinsic", "extrinsics", "calibration")


@dataclass(frozen=True)
class Destination:
    """Where a calibration is written: a folder, and the session, if any, whose rig it becomes."""

    folder: Path
    session: Session | None = None
    force: bool = False

    def check(self) -> None:
        """Raise InputError where a rig would be overwritten without `force`."""
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} is a file; give another folder with --out")
        if (self.folder / "rig.yaml").exists() and not self.force:
            raise InputError(
                f"{self.folder / 'rig.yaml'} exists already; choose another folder with --out, or give --force"
            )

    def of(self, calibration: Calibration) -> Path:
        """The folder of a calibration: one with the verdict "do not use" goes to `rejected` and replaces no other."""
        return self.folder / "rejected" if calibration.verdict == "do not use" else self.folder

    def holds_rig(self, calibration: Calibration) -> bool:
        """Whether a rig.yaml is written: not for a single camera that is left of several."""
        return len(calibration.rig) > 1 or calibration.verdict != "do not use"

    def write(self, calibration: Calibration) -> None:
        """Write the report, then the rig if it is one, and with `force` the session's rig.

        An earlier rejected result is removed.
        """
        from calib.report.page import write_report

        folder = self.of(calibration)
        write_report(calibration, folder, title=self.folder.resolve().name, force=True)
        if self.holds_rig(calibration):
            save_rig(calibration.rig, folder / "rig.yaml")
        else:
            (folder / "rig.yaml").unlink(missing_ok=True)
        if folder == self.folder:
            for name in ("rig.yaml", "calibration.html", "calibration.json"):
                (self.folder / "rejected" / name).unlink(missing_ok=True)
            if self.session is not None and self.force:
                save_rig(match_views(calibration.rig, self.session.names), self.session.folder / "rig.yaml")


def destination_of(source: str | Path | Session, out: str | Path | None = None, force: bool = False) -> Destination:
    """Destination of a calibration of a folder or session: `out`, else SESSION/calibration, else NAME.calibration."""
    if not isinstance(source, Session) and (Path(source) / "session.yaml").exists():
        source = Session.open(source)
    if isinstance(source, Session):
        return Destination(Path(out or source.folder / "calibration"), source, force)
    whole = Path(source).resolve()
    named = next((part for part in (whole, *whole.parents) if part.name.lower() not in _GENERAL), whole)
    return Destination(Path(out or f"{named.name}.calibration"), None, force)
