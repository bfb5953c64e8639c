"""A C-STORE and C-ECHO server: who may connect, and what it says when an object could not be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from liverplan.errors import ArchiveError
from liverplan.pacs.addresses import OWN_TITLE, is_loopback
from liverplan.pacs.association import ANSWER_S, quiet_network

Keep = Callable[[bytes], int]
"""Gets an encoded DICOM file and returns the status of its C-STORE (0 only when it is safe on the disk)."""
CANNOT_UNDERSTAND, OUT_OF_RESOURCES = 0xC000, 0xA700
"""PS3.4 B.2.3."""


@dataclass(frozen=True)
class Receiver:
    """Where to listen. allowed: titles that may connect; empty lets everyone, which only this machine's loopback may.

    port 0 takes any free one.
    """

    title: str = OWN_TITLE
    host: str = "127.0.0.1"
    port: int = 11112
    allowed: tuple[str, ...] = ()


@contextmanager
def serving(receiver: Receiver, keep: Keep) -> Iterator[int]:
    """Serve in threads of its own while the block runs; the block gets the port. Raises ArchiveError."""
    from pynetdicom import AE, AllStoragePresentationContexts, evt
    from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
    from pynetdicom.sop_class import Verification

    if not is_loopback(receiver.host) and not receiver.allowed:
        raise ArchiveError(
            "everyone in the network could send to this receiver",
            got=f"--host {receiver.host} without --allow-aet",
            wanted="the titles of the archives that may connect",
            do="Name each with --allow-aet, and let a firewall keep others away: a title is no proof of identity.",
        )
    quiet_network()
    entity = AE(ae_title=receiver.title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(receiver.allowed)
    entity.dimse_timeout = entity.network_timeout = ANSWER_S
    for context in AllStoragePresentationContexts:
        assert context.abstract_syntax is not None
        entity.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
    entity.add_supported_context(Verification)

    def stored(event: Any) -> int:
        return keep(event.encoded_dataset())

    try:
        server = entity.start_server(
            (receiver.host, receiver.port), block=False, evt_handlers=[(evt.EVT_C_STORE, stored)]
        )
    except OSError as error:
        raise ArchiveError(
            "the receiver cannot listen",
            got=f"{error.strerror} at {receiver.host}:{receiver.port}",
            wanted="a free port on this machine",
            do="Choose another --port, or stop the program that holds it.",
        ) from error
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
