"""The tabs that change a case: a plane, two resections compared, masks corrected. Only words and places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from liverplan.viewer import panel

if TYPE_CHECKING:
    from liverplan.viewer.app import Viewer

STYLE = """
.lp-act { background: #1c5d99; color: #fff; border-radius: 4px; padding: 3px 12px; margin: 4px 4px 4px 0; }
.lp-act[disabled] { opacity: .4; }
.lp-slide { width: 100% !important; padding: 0 !important; }
.lp-job { padding: 2px 8px; flex: none; }
.lp-job progress { width: 100%; }
.lp-tab { padding: 5px 7px !important; font-size: 12px; }
.lp-plain { border: 1px solid #999; border-radius: 3px; padding: 0 8px; flex: none;
  margin-right: 10px; font-size: 13px; }
.lp-over { position: fixed; left: 30px; top: 56px; z-index: 2000; background: #fff; border: 1px solid #888;
  padding: 10px 16px; border-radius: 6px; box-shadow: 0 4px 18px rgba(0,0,0,.35); max-height: 80vh; overflow-y: auto;
  font-size: 13px; min-width: 420px; }
.lp-dark { background: #14181d; color: #dfe5ec; }
.lp-dark .lp-left { border-right-color: #39424d; }
.lp-dark .lp-tools button, .lp-dark .lp-layers span { color: #222 !important; }
.lp-dark .lp-left [style*="color: rgb"], .lp-dark .lp-left td, .lp-dark .lp-part td { color: #c3ccd6 !important; }
.lp-dark td, .lp-dark th { border-bottom-color: #303943; }
.lp-dark .lp-go:hover { background: #22303f; } .lp-dark .lp-on { background: #57391d !important; }
.lp-dark input, .lp-dark select { background: #222a33; color: #e6ebf1; border-color: #55606c; }
.lp-dark .lp-note { background: #41351a; color: #f3e3bd; } .lp-dark .lp-bad { background: #47201f; }
.lp-dark .lp-good { background: #1c3a26; } .lp-dark .lp-over { background: #1d232a; }
.lp-dark .lp-met, .lp-dark .lp-feasible, .lp-dark .lp-ok { color: #6fd08c !important; }
.lp-dark .lp-not_met, .lp-dark .lp-infeasible, .lp-dark .lp-fail { color: #ff8f85 !important; }
.lp-dark .lp-undetermined, .lp-dark .lp-warning { color: #f0bd5a !important; }
.lp-left { resize: horizontal; overflow: hidden; min-width: 300px; max-width: 60vw; }
.lp-compare { table-layout: fixed; } .lp-compare select { width: 100% !important; }
.lp-compare td { overflow-wrap: anywhere; }
.lp-title { font-weight: 700; font-size: 18px; padding: 0 12px; }
.lp-name { font-weight: 600; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; flex: 0 1 auto; }
.lp-input { padding-left: 14px; font-size: 13px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis;
  flex: 0 1 auto; }
.lp-notice { padding: 0 12px; font-size: 12px; color: #a81616; white-space: nowrap; }
.v-theme--dark .lp-notice { color: #ff9d94; }
.lp-windows { font-size: 12px; background: #fff4dc; color: #222; padding: 1px 8px; margin-right: 10px;
  border-radius: 3px; white-space: nowrap; }
header .lp-act { font-size: 13px; white-space: nowrap; flex: none; } header label { white-space: nowrap; }
@media (max-width: 1100px) { .lp-left { width: 330px; } .lp-tabs { flex-wrap: wrap; } }
@media (max-width: 900px) {
  .lp { grid-template-columns: minmax(0, 1fr); grid-template-rows: 54% minmax(0, 1fr); }
  .lp-left { order: 2; width: auto; max-width: none; resize: none; border-right: none; overflow-y: auto; }
  .lp-body { overflow: visible; flex: none; } .lp-title, .lp-input, .lp-wide { display: none; }
  .lp-tools button { padding: 3px 7px; }
}
"""
KEYS = (
    ("Up, Down", "axial slice up or down"),
    ("Left, Right", "margin less or more"),
    ("1 to 8", "tabs"),
    ("c", "cross-hair"),
    ("p, e", "paint, erase"),
    ("[ ]", "brush smaller, larger"),
    ("z, y", "undo, redo"),
    ("m", "drag the plane"),
    ("f", "fit the slices"),
    ("d", "dark or light"),
    ("?", "this list; Escape closes it"),
)
KEY_SCRIPT = """
window.addEventListener('keydown', (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== 'checkbox';
  const named = ['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight', 'Escape'].includes(event.key);
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !(named || event.key.length === 1)) return;
  if (event.key.startsWith('Arrow')) event.preventDefault();
  window.trame.trigger('key', [event.key]);
});
(() => {
  let down = null;
  const inSpace = (event) => event.button === 0 && !event.target.closest('button, details') &&
    event.target.closest('.lp-space');
  window.addEventListener('pointerdown', (event) => { down = inSpace(event) && [event.clientX, event.clientY]; }, true);
  window.addEventListener('pointerup', (event) => {
    if (!down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 4) return;
    const box = document.querySelector('.lp-space').getBoundingClientRect();
    window.trame.trigger('draw_click', [(down[0] - box.left) / box.width, (down[1] - box.top) / box.height]);
  }, true);
})();
"""


def keys(html: Any) -> None:
    """The list of shortcuts, on demand."""
    with html.Div(v_if=("keys_shown", False), classes="lp-over"):
        html.B("Keys")
        with html.Table():
            for key, does in KEYS:
                with html.Tr():
                    html.Td(key)
                    html.Td(does)


def job(html: Any, viewer: Viewer) -> None:
    """A recomputation under way, and how the last one ended."""
    with html.Div(v_if=("job_stage",), classes="lp-job"):
        html.Span("Planning again: {{ job_stage }} ({{ Math.round(job_progress) }} %)", style="color:#8a5a00")
        html.Button("Cancel", classes="lp-act", style="float:right", click=viewer.revising.cancel)
        html.Progress(raw_attrs=[':value="job_progress"', 'max="100"'])
    html.Div("{{ job_note }}", v_if=("job_note",), classes="lp-note")
    html.Div(
        "Corrections not computed yet: {{ edits.length }}. All numbers are those of the masks before.",
        v_if="edits.length && !job_stage",
        classes="lp-note",
    )


def plane(html: Any, viewer: Viewer) -> None:
    with html.Label():
        html.Input(type="checkbox", style="width:auto", raw_attrs=['v-model="plane_on"', 'name="plane_on"'])
        html.Span(" Cut along a plane. The side with the lesions is taken out.")
    with html.Div(v_show="plane_on"):
        _slider(html, "Position along the normal", "plane_mm", "mm", "-plane_far", "plane_far", 0.5)
        _slider(html, "Turn about the long axis", "plane_turn", "deg", "-180", "180", 1)
        _slider(html, "Tilt up or down", "plane_tilt", "deg", "-90", "90", 1)
        html.Button("Drag it in a slice", classes="lp-act", click="tool = tool === 'plane' ? 'cross-hair' : 'plane'")
        html.Span("{{ tool === 'plane' ? 'Dragging moves the plane.' : '' }}")
    html.Div("{{ plane_note }}", v_if=("plane_note",), classes="lp-note")
    _measured(html, "plane", viewer.cutting.save_now)
    html.H4("A cut drawn on the liver")
    html.Div(
        "Click points on the liver in 3D: the line through them is carried into the depth, the way you look at each. "
        "Dragging still turns.",
        style="color:#666; font-size:12px",
    )
    html.Button(
        "{{ tool === 'draw' ? 'Stop drawing' : 'Draw on the liver' }}",
        classes="lp-act",
        click="tool = tool === 'draw' ? 'cross-hair' : 'draw'",
    )
    html.Button("Take a point back", classes="lp-act", click=viewer.drawn.undo, raw_attrs=[':disabled="!drawn_points"'])
    html.Button("Clear", classes="lp-act", click=viewer.drawn.clear, raw_attrs=[':disabled="!drawn_points"'])
    html.Span("{{ drawn_points }} points", v_if="drawn_points")
    html.Div("{{ drawn_note }}", v_if="drawn_note", classes="lp-note")
    _measured(html, "drawn", viewer.drawn.save_now)


def _measured(html: Any, which: str, save: Any) -> None:
    """What a plane or a drawn cut does, and its name to save it under. which: the state variables' first part."""
    with html.Template(v_if=f"{which}_row"):
        html.Div("Measuring: the numbers below are of the place before.", v_if=f"{which}_busy", classes="lp-note")
        with html.Table(classes=f"lp-{which}"), html.Tr(v_for=f"l in {which}_row.lines", key="l.name"):
            html.Td("{{ l.name }}")
            html.Td(
                "{{ l.value }}",
                raw_attrs=[f":class=\"l.name === '{panel.REACHES}' ? 'lp-' + {which}_row.meets : ''\""],
            )
        html.Span("Name ")
        html.Input(type="text", raw_attrs=[f'v-model="{which}_name"', f'name="{which}_name"', 'maxlength="40"'])
        html.Button(
            "Save as a plan", classes="lp-act", click=save, raw_attrs=[f':disabled="!!job_stage || {which}_busy"']
        )


def compare(html: Any, _viewer: Viewer) -> None:
    with html.Table(classes="lp-compare"):
        with html.Tr():
            html.Th("")
            for name in ("compare_one", "compare_other"):
                with html.Th(), html.Select(raw_attrs=[f'v-model="{name}"', f'name="{name}"']):
                    html.Option(
                        "{{ r.title }}", v_for="r in panel.resections", key="r.name", raw_attrs=[':value="r.name"']
                    )
        with html.Tr(v_for="l in compared", key="l.name"):
            html.Td("{{ l.name }}")
            html.Td("{{ l.one }}", raw_attrs=[':style="{fontWeight: l.differ ? 600 : 400}"'])
            html.Td("{{ l.other }}", raw_attrs=[':style="{fontWeight: l.differ ? 600 : 400}"'])
    html.Div("No two resections to compare.", v_if="!compared.length")


def correct(html: Any, viewer: Viewer) -> None:
    with html.Table():
        with html.Tr():
            html.Td("Tool")
            with html.Td(), html.Select(style="width:260px", raw_attrs=['v-model="tool"', 'name="tool"']):
                html.Option("{{ t.title }}", v_for="t in tools", key="t.value", raw_attrs=[':value="t.value"'])
        with html.Tr(v_show="['paint', 'erase', 'mark'].includes(tool)"):
            html.Td("{{ tool === 'mark' ? 'becomes' : 'of' }}")
            with html.Td(), html.Select(style="width:260px", raw_attrs=['v-model="structure"', 'name="structure"']):
                html.Option("{{ s.title }}", v_for="s in paintable", key="s.value", raw_attrs=[':value="s.value"'])
        with html.Tr(v_show="['paint', 'erase'].includes(tool)"):
            html.Td("Radius {{ brush_mm }} mm")
            with html.Td():
                html.Input(
                    type="range",
                    classes="lp-slide",
                    raw_attrs=[
                        'v-model.number="brush_mm"',
                        'name="brush_mm"',
                        ':min="brush_least"',
                        ':max="brush_most"',
                        'step="0.5"',
                    ],
                )
        with html.Tr():
            html.Td("By")
            with html.Td():
                html.Input(type="text", raw_attrs=['v-model="who"', 'name="who"', 'maxlength="80"'])
    html.Div("{{ edit_note }}", v_if=("edit_note",), classes="lp-note")
    html.Button("Undo", classes="lp-act", click=viewer.correcting.undo, raw_attrs=[':disabled="!edits.length"'])
    html.Button("Redo", classes="lp-act", click=viewer.correcting.redo, raw_attrs=[':disabled="!can_redo"'])
    html.Button(
        "Recompute",
        classes="lp-act",
        click=viewer.revising.start,
        raw_attrs=[':disabled="!edits.length || !can_edit || !!job_stage"'],
    )
    with html.Ol(style="padding-left:24px"):
        html.Li("{{ e }}", v_for="(e, n) in edits", key="n")
    html.Div(
        "A stroke is one slice deep. Painting one vein takes it from the other. Recompute plans the case again on the "
        "corrected masks; edits.jsonl records who changed what, and revisions/ keeps the masks of before.",
        style="color:#666; font-size:12px",
    )


def _slider(html: Any, title: str, name: str, unit: str, least: str, most: str, step: float) -> None:
    html.Div(f"{title}: {{{{ {name} }}}} {unit}")
    html.Input(
        type="range",
        classes="lp-slide",
        raw_attrs=[
            f'v-model.number="{name}"',
            f'name="{name}"',
            f':min="{least}"',
            f':max="{most}"',
            f'step="{step:g}"',
        ],
    )
