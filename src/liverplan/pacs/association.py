"""Connections to an application entity, and what its answers mean."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from liverplan.errors import ArchiveError
from liverplan.pacs.addresses import Node

ANSWER_S = 60.0
"""How long an archive may take to answer one message."""
CONNECT_S = 15.0
_WARNINGS = range(0xB000, 0xC000)
"""Stored, with a remark: coerced attributes and the like (PS3.4 B.2.3)."""


def quiet_network() -> None:
    """Keep the libraries' logs off stderr: they print headers, and headers hold the patient."""
    for name in ("pynetdicom", "dicomweb_client", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


@contextmanager
def associated(node: Node, own_title: str, contexts: Sequence[Any]) -> Iterator[Any]:
    """An association with `node`; contexts are SOP classes or presentation contexts. Raises ArchiveError."""
    from pynetdicom import AE
    from pynetdicom.presentation import PresentationContext

    quiet_network()
    entity = AE(ae_title=own_title)
    entity.connection_timeout, entity.acse_timeout = CONNECT_S, CONNECT_S
    entity.dimse_timeout, entity.network_timeout = ANSWER_S, ANSWER_S
    for context in contexts:
        if isinstance(context, PresentationContext):
            assert context.abstract_syntax is not None
            entity.add_requested_context(context.abstract_syntax, context.transfer_syntax)
        else:
            entity.add_requested_context(context)
    association = entity.associate(node.host, node.port, ae_title=node.title)
    if not association.is_established:
        raise ArchiveError(
            "the archive cannot be reached",
            got=f"{node}, which " + ("refused the connection" if association.is_rejected else "did not answer"),
            wanted="an archive that listens there and knows the title " + own_title,
            do="Check address and title with the archive's administrator.",
        )
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def is_stored(status: Any) -> bool:
    """Whether a C-STORE was answered by success or by a warning; a warning means that the object was stored."""
    return bool(status) and (status.Status == 0x0000 or status.Status in _WARNINGS)


def require_success(status: Any, node: Node, what: str) -> None:
    """Raises ArchiveError unless an answer says success. An empty answer is a lost connection."""
    if status and status.Status == 0x0000:
        return
    got = f"status 0x{status.Status:04X} from {node}" if status else f"no answer from {node}"
    raise ArchiveError(
        f"the archive failed at {what}",
        got=got,
        wanted="success",
        do="Look into the archive's log; it may not know this program's title, or may be out of room.",
    )
