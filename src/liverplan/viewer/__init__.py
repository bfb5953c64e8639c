"""`liverplan view`: a planned case in the surgeon's browser, served by this machine to this machine only.

Everything that is shown comes from OUT/report.json, OUT/segmentation, OUT/meshes and the scan; every number at another
margin from `liverplan.margin`. Nothing is measured here. docs/viewer.md has the tour and the security model.

    opened.py, cases.py     a planned case from its folder; the cases of a folder
    margins.py, region.py   the case at any margin: numbers; the region that a margin removes, in 3D and on slices
    panel.py, targets.py    what stands in the left column; the places that a click leads to
    form.py                 the clinical record as a form, decided and saved
    guard.py                who may ask: key, Host, Origin
    outlines.py, frames.py  masks as lines on slices; slices as they lie on the page
    slicing.py, space.py, drawing.py    the VTK scenes, and what they share
    sending.py              their pictures to the page, the last one included
    page.py, app.py, serve.py    the page, what happens when it is used, and the server (trame)
"""
