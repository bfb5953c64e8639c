"""The page: the case on the left, three slices and 3D on the right. Only words and places; `app` does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from liverplan.viewer import page_load, page_tools

if TYPE_CHECKING:
    from liverplan.viewer.app import Viewer

TITLE = "liverplan"
BORDER = "border:1px solid #999"
TABS = ("Lesions", "Resections", "Plane", "Compare", "Correct", "Eligibility", "Clinical", "Quality")
VIEWS = ("axial", "coronal", "sagittal", "space")
STYLE = """
html { overflow: hidden !important; }
.lp { display: grid; grid-template-columns: auto minmax(0, 1fr); height: calc(100vh - 32px); }
.lp-left { display: flex; flex-direction: column; border-right: 1px solid #ccc; font-size: 13px; min-height: 0;
  width: 460px; }
.lp-top { padding: 6px 8px; }
.lp-body { overflow-y: auto; padding: 4px 8px; flex: 1; min-height: 0; }
.lp-tabs { display: flex; border-bottom: 2px solid #1c5d99; padding: 0 6px; flex: none; }
.lp-tab { padding: 5px 9px; border-radius: 4px 4px 0 0; } .lp-tab-on { background: #1c5d99; color: #fff; }
.lp-right { display: grid; grid-template-columns: 1fr 1fr; grid-template-rows: 1fr 1fr; gap: 3px; background: #222;
  min-width: 0; min-height: 0; }
.lp-view { position: relative; overflow: hidden; min-width: 0; min-height: 0; background: #000; }
.lp-one { grid-template-columns: 1fr; grid-template-rows: 1fr; }
.lp-tools { position: absolute; right: 6px; top: 6px; z-index: 2; }
.lp-tools button { background: rgba(255,255,255,.85); border: 1px solid #999; border-radius: 3px; margin-left: 3px;
  padding: 0 6px; font-size: 12px; cursor: pointer; }
.lp-layers { position: absolute; right: 6px; bottom: 26px; z-index: 2; font-size: 11px; color: #222;
  background: rgba(255,255,255,.8); padding: 2px 6px; border-radius: 3px; }
.lp-unread { position: absolute; left: 0; right: 0; bottom: 60px; z-index: 2; pointer-events: none; text-align: center;
  font-size: 13px; background: #fff4dc; color: #222; }
.lp table { border-collapse: collapse; width: 100%; }
.lp td, .lp th { padding: 2px 6px; vertical-align: top; text-align: left; border-bottom: 1px solid #e4e4e4; }
.lp-go { cursor: pointer; } .lp-go:hover { background: #eef4fb; }
.lp-on { background: #ffe9d6 !important; }
.lp-part td { color: #555; padding-left: 18px; }
.lp-met, .lp-feasible, .lp-ok { color: #17692e; font-weight: 600; }
.lp-not_met, .lp-infeasible, .lp-fail { color: #a81616; font-weight: 600; }
.lp-undetermined, .lp-warning { color: #8a5a00; font-weight: 600; }
.lp-verdict { font-size: 20px; font-weight: 700; }
.lp-note { background: #fff4dc; border-left: 4px solid #d29a1c; padding: 4px 8px; margin: 4px 0; }
.lp-bad { background: #fde5e5; border-left: 4px solid #a81616; padding: 4px 8px; margin: 4px 0; }
.lp-good { background: #e6f5ea; border-left: 4px solid #17692e; padding: 4px 8px; margin: 4px 0; }
.lp h3 { margin: 12px 0 4px; font-size: 15px; }
.lp h4 { margin: 8px 0 2px; font-size: 13px; }
.lp select, header select { appearance: auto; }
.lp input, .lp select { border: 1px solid #aaa; border-radius: 3px; padding: 1px 4px; width: 120px; background: #fff; }
.lp select.lp-unit { width: 74px; }
.lp-save { background: #1c5d99; color: #fff; border-radius: 4px; padding: 4px 14px; margin-top: 8px; }
"""


def build_page(server: Any, viewer: Viewer) -> None:
    """Lay out the page on a trame server and hand the remote views to the viewer."""
    from trame.ui.vuetify3 import VAppLayout
    from trame.widgets import client, html
    from trame.widgets import vuetify3 as v3

    server.state.trame__title = TITLE
    server.state.tabs, server.state.large = list(TABS), ""
    # Not over the tab that the case was left on.
    server.state.setdefault("tab", TABS[0])
    with VAppLayout(server, theme=("dark ? 'dark' : 'light'",)):
        client.Style(STYLE + page_tools.STYLE + page_load.STYLE)
        client.Script(page_tools.KEY_SCRIPT + page_load.SCRIPT)
        with v3.VAppBar(density="compact", height=48):
            _bar(html, viewer)
        with v3.VMain(), html.Div(raw_attrs=[":class=\"{'lp': true, 'lp-dark': dark}\""]):
            page_tools.keys(html)
            page_load.cases(html, viewer)
            with html.Div(classes="lp-left"):
                with html.Div(classes="lp-top"):
                    _verdict(html)
                    _margin(html, v3)
                _tabs(html)
                page_tools.job(html, viewer)
                for tab, fill in zip(TABS, FILLS, strict=True):
                    with html.Div(classes="lp-body", v_show=f"tab === '{tab}'"):
                        fill(html, viewer)
            with html.Div(raw_attrs=[":class=\"{'lp-right': true, 'lp-one': large}\""]):
                _views(html, viewer)


def _class(value: str) -> list[str]:
    """The colour of an outcome: met, not_met, undetermined, ok, ..."""
    return [f":class=\"'lp-' + {value}\""]


def _marked(when: str) -> list[str]:
    return [f":class=\"{{'lp-on': {when}}}\""]


def _model(name: str, *more: str) -> list[str]:
    return [f'v-model="{name}"', *more]


def _bar(html: Any, viewer: Viewer) -> None:
    html.Div(TITLE, classes="lp-title")
    html.Button("Cases ({{ cases.length }})", classes="lp-act", click="cases_shown = !cases_shown")
    html.Span("{{ case_name }}", classes="lp-name")
    html.Span("{{ panel.input }}", classes="lp-input")
    html.Div(style="flex:1")
    html.Span("open in {{ windows_open }} windows: they show the same", v_if="windows_open > 1", classes="lp-windows")
    html.Button("{{ dark ? 'Light' : 'Dark' }}", classes="lp-plain", click="dark = !dark")
    html.Button("Keys", classes="lp-plain lp-wide", click="keys_shown = !keys_shown")
    with html.Label("Window ", style="font-size:13px"), html.Select(v_model=("window",), style=BORDER):
        html.Option("{{ w }}", v_for="w in windows", key="w", raw_attrs=[':value="w"'])
    html.Span("{{ notice }}", classes="lp-notice")


def _tabs(html: Any) -> None:
    with html.Div(classes="lp-tabs"):
        html.Button(
            "{{ t }}",
            v_for="t in tabs",
            key="t",
            click="tab = t",
            raw_attrs=[":class=\"{'lp-tab': true, 'lp-tab-on': tab === t}\""],
        )


def _verdict(html: Any) -> None:
    html.Div("{{ case_note }}", v_if=("case_note",), classes="lp-note")
    with html.Div("{{ panel.answer.title }}: "):
        html.Span("{{ panel.answer.verdict }}", classes="lp-verdict", raw_attrs=_class("panel.answer.feasible"))
    html.Div("{{ panel.answer.sentence }}")
    html.Div("{{ panel.answer.reason }}", style="color:#444")
    html.Div("At most {{ panel.answer.most }}. {{ panel.answer.limit }}", style="color:#444")
    html.Div(
        "These masks are a model's and were confirmed by no reader.", v_if=("panel.answer.unread",), classes="lp-note"
    )


def _margin(html: Any, v3: Any) -> None:
    html.H3("Margin {{ margin_mm }} mm")
    v3.VSlider(
        v_model=("margin_mm",),
        min=0,
        max=("margin_most",),
        step=("margin_step",),
        hide_details=True,
        density="compact",
        color="#f07d2d",
    )
    html.Div(
        "Rebuilding the field: {{ margin_stage }} ({{ Math.round(margin_progress) }} %). Whole millimetres until then.",
        v_if=("margin_stage", ""),
        style="color:#8a5a00",
    )
    html.Div("{{ margin_warning }}", v_if=("margin_warning",), classes="lp-note")
    with html.Table(), html.Tr(v_for="row in margin_rows", key="row.name"):
        html.Td("{{ row.name }}")
        html.Td("{{ row.value }}", style="font-weight:600")
    html.Div(
        "What nobody who keeps this margin can avoid losing. The protocol asks {{ margin_wide }} mm.",
        style="color:#666; font-size:12px",
    )


def _lesions(html: Any, viewer: Viewer) -> None:
    with html.Table(), html.Template(v_for="lesion in panel.lesions", key="lesion.id"):
        with html.Tr(
            classes="lp-go",
            click=(viewer.jump, "[lesion.target]"),
            raw_attrs=_marked("target === lesion.target"),
        ):
            with html.Td():
                html.B("{{ lesion.title }}")
                html.Div("{{ lesion.size }}")
            with html.Td():
                html.Span("{{ lesion.verdict }}", raw_attrs=_class("lesion.wide_margin"))
                html.Div("at most {{ lesion.most }}, {{ lesion.limit }}")
        with html.Tr(
            v_for="d in lesion.distances",
            key="d.target",
            classes="lp-go lp-part",
            click=(viewer.jump, "[d.target]"),
            raw_attrs=_marked("target === d.target"),
        ):
            html.Td("{{ d.title }}")
            html.Td("{{ d.value }}")


def _resections(html: Any, viewer: Viewer) -> None:
    with html.Table(), html.Template(v_for="r in panel.resections", key="r.name"):
        with html.Tr(
            classes="lp-go",
            click=(viewer.choose, "[r.name]"),
            raw_attrs=_marked("resection === r.name"),
        ):
            with html.Td():
                html.B("{{ r.title }}")
                html.Div("takes {{ r.volume }}")
            with html.Td():
                html.Span("{{ r.meets_title }}", raw_attrs=_class("r.meets"))
                html.Div("margin {{ r.margin }}")
                html.Div("FLR {{ r.flr }}")
        with html.Tr(v_if="resection === r.name", classes="lp-part"), html.Td(colspan=2):
            html.Div("{{ r.reason }}")
            html.Div("Divides {{ r.divided.join('; ') }}", v_if="r.divided.length")
        with (
            html.Template(v_if="resection === r.name"),
            html.Tr(
                v_for="m in r.margins",
                key="m.target",
                classes="lp-go lp-part",
                click=(viewer.jump, "[m.target]"),
                raw_attrs=_marked("target === m.target"),
            ),
        ):
            html.Td("{{ m.title }}")
            html.Td("{{ m.value }}")
    html.Div("No resection was proposed or given.", v_if="!panel.resections.length")


def _eligibility(html: Any, _viewer: Viewer) -> None:
    html.Div("{{ panel.eligibility.title }}", style="font-weight:700")
    html.Div("{{ panel.eligibility.sentence }}")
    with html.Div(v_for="g in panel.eligibility.obtain", key="g.title"):
        html.H4("{{ g.title }}")
        html.Div("{{ g.items.join(', ') }}")
    html.H4("Criteria")
    with (
        html.Table(),
        html.Tr(
            v_for="c in panel.eligibility.criteria",
            key="c.id",
            raw_attrs=[":class=\"{'lp-part': c.part}\""],
        ),
    ):
        html.Td("{{ c.id }}")
        with html.Td():
            html.Div("{{ c.text }}")
            html.Div("{{ c.evidence }}", style="color:#555")
        html.Td("{{ c.outcome_title }}", raw_attrs=_class("c.outcome"))


def _form(html: Any, viewer: Viewer) -> None:
    with html.Template(v_for="g in form", key="g.title"):
        html.H4("{{ g.title }}")
        with html.Table(), html.Tr(v_for="f in g.fields", key="f.name"):
            html.Td("{{ f.title }}")
            with html.Td(style="white-space:nowrap"):
                with html.Select(
                    v_if="f.type === 'flag' || f.type === 'choice'",
                    raw_attrs=_model("record[f.name].value", ':name="f.name"'),
                ):
                    html.Option("", raw_attrs=[":value=\"''\""])
                    with html.Template(v_if="f.type === 'flag'"):
                        html.Option("yes", raw_attrs=[':value="true"'])
                        html.Option("no", raw_attrs=[':value="false"'])
                    html.Option(
                        "{{ c.replaceAll('_', ' ') }}", v_for="c in f.choices", key="c", raw_attrs=[':value="c"']
                    )
                html.Input(
                    v_else=True,
                    raw_attrs=[
                        'v-model="record[f.name].value"',
                        ':name="f.name"',
                        ":type=\"f.type === 'date' ? 'date' : 'text'\"",
                        ':placeholder="f.range"',
                    ],
                )
                with html.Select(v_if="f.units.length", classes="lp-unit", raw_attrs=['v-model="record[f.name].unit"']):
                    html.Option("{{ u }}", v_for="u in f.units", key="u", raw_attrs=[':value="u"'])
                html.Span(" {{ f.unit }}")
    html.Button("Decide and save", classes="lp-save", click=(viewer.save, "[record]"))
    html.Div("{{ refused }}", v_if=("refused",), classes="lp-bad")
    html.Div("{{ saved }}", v_if=("saved",), classes="lp-good")


def _quality(html: Any, _viewer: Viewer) -> None:
    with html.Table(), html.Tr(v_for="q in panel.quality", key="q.name"):
        html.Td("{{ q.name }}")
        html.Td("{{ q.status }}", raw_attrs=_class("q.status"))
        html.Td("{{ q.message }}")


def _views(html: Any, viewer: Viewer) -> None:
    from trame.widgets import vtk as vtk_widgets

    windows = [*(view.window for view in viewer.slices), viewer.space.window]
    for name, window in zip(VIEWS, windows, strict=True):
        with html.Div(classes=f"lp-view lp-{name}", v_show=f"!large || large === '{name}'"):
            view = vtk_widgets.VtkRemoteView(
                window,
                ref=f"view_{name}",
                interactive_ratio=0.6 if name == "space" else 1,
                interactive_quality=75,
                still_quality=95,
            )
            viewer.sender.add(view)
            html.Div("{{ unread }}", v_if=("unread",), classes="lp-unread")
            with html.Div(classes="lp-tools"):
                if name == "axial":
                    html.Button("fit", click=viewer.fit)
                elif name == "space":
                    _sides(html, viewer)
                _enlarge(html, name)
            if name == "space":
                _layers(html)


def _sides(html: Any, viewer: Viewer) -> None:
    for side in ("anterior", "right", "inferior", "superior"):
        html.Button(side, click=(viewer.stand, f"['{side}']"))


def _enlarge(html: Any, name: str) -> None:
    html.Button(
        f"{{{{ large === '{name}' ? 'all' : 'large' }}}}",
        classes="lp-large",
        click=f"large = large === '{name}' ? '' : '{name}'",
    )


def _layers(html: Any) -> None:
    with html.Details(classes="lp-layers"):
        html.Summary("Surfaces")
        with html.Label(v_for="l in layers", key="l.value", style="display:block"):
            html.Input(type="checkbox", raw_attrs=_model("shown", ':value="l.value"'), style="width:auto")
            html.Span(" {{ l.title }}")


FILLS = (_lesions, _resections, page_tools.plane, page_tools.compare, page_tools.correct, _eligibility, _form, _quality)
"""What each tab of TABS shows."""
