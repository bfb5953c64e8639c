"""Resections: which part of the liver is taken out, and what that means for margins and remnant."""
