"""Synthetic patients whose every answer is known in closed form from their shapes. Research use only."""
