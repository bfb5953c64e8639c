"""The way to image archives (PACS): find, fetch and send studies, and receive them to be planned (docs/pacs.md).

Only this package knows pynetdicom (C-FIND, C-MOVE, C-STORE) and dicomweb_client (QIDO-RS, WADO-RS, STOW-RS).
"""
