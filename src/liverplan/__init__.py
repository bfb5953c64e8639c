"""Margin and remnant planning for resection of colorectal liver metastases. Research use only, not a medical device."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("liverplan")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0+unknown"

RESEARCH_USE_ONLY = "Research use only. Not a medical device."

__all__ = ["RESEARCH_USE_ONLY", "__version__"]
