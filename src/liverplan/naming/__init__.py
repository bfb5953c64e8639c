"""Named anatomy: what the branches of a traced vessel tree are called, or why that cannot be told.

Names follow from the tree itself: from the tissue that each branch serves, where that tissue and the branch lie beside
each other and in the liver, and the order of branching. Nobody places a seed. A tree that does not fit, or that fits
two ways, keeps numbers and says why: a wrong name is worse than none.
"""

from liverplan.naming.hepatic import name_hepatic
from liverplan.naming.names import TreeNames
from liverplan.naming.portal import name_portal

__all__ = ["TreeNames", "name_hepatic", "name_portal"]
