"""The report on a calibration: its facts as JSON, and an HTML page."""

from calib.report.facts import live_line, report
from calib.report.page import write_report

__all__ = ["live_line", "report", "write_report"]
