"""How well masks agree with a reader's, and what their errors do to clearance and remnant. No network runs here."""
