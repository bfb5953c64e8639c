"""The list of cases, and a scan loaded into it: dropped, chosen, or named by its path. Only words and places."""

from __future__ import annotations

from typing import Any, Protocol

from liverplan.viewer.guard import ADDRESS
from liverplan.viewer.loading import TOKEN, Loading


class Page(Protocol):
    """What has a list of cases, and loads scans into it."""

    loading: Loading


STYLE = """
.lp-drop { border: 2px dashed #8aa; border-radius: 6px; padding: 8px 12px; margin: 6px 0; text-align: center; }
.lp-dropping .lp-drop { background: #e3effb; border-color: #1c5d99; }
.lp-cases { width: min(560px, calc(100vw - 40px)); min-width: 0 !important; }
.lp-cases input[type=text], .lp-cases input[type=search] { width: 100%; border: 1px solid #aaa; border-radius: 3px;
  padding: 2px 6px; background: #fff; color: #222; }
.lp-list { max-height: 38vh; overflow-y: auto; }
.lp-list table, .lp-take table { width: 100%; border-collapse: collapse; }
.lp-list td, .lp-take td { padding: 3px 6px; }
.lp-take td:first-child { white-space: nowrap; width: 1%; }
.lp-pick { position: absolute; opacity: 0; width: 1px !important; height: 1px; }
.lp-pick:focus-visible + span { outline: 2px solid #1c5d99; }
.lp-pick-title { background: #1c5d99; color: #fff; border-radius: 4px; padding: 3px 12px; cursor: pointer;
  display: inline-block; margin: 3px; }
.lp-dark .lp-cases input { background: #222a33 !important; color: #e6ebf1; }
.lp-dark.lp-dropping .lp-drop { background: #22303f; }
"""
SCRIPT = """
(() => {
  const state = () => window.trame.state;
  const files = (entry) => new Promise((good, bad) => {
    if (entry.isFile) return entry.file((file) => good([[file, entry.fullPath]]), bad);
    const reader = entry.createReader(), found = [];
    const more = () => reader.readEntries((entries) => {
      if (!entries.length) return Promise.all(found.map(files)).then((all) => good(all.flat()), bad);
      found.push(...entries);
      more();
    }, bad);
    more();
  });
  const say = (note) => { state().set('load_note', note); state().set('load_bad', true); };
  const send = async (list) => {
    if (!list.length || state().get('load_stage')) return;
    state().set('cases_shown', true);
    const form = new FormData();
    list.forEach(([file, path]) => form.append('file', file, path || file.name));
    try {
      const answer = await fetch('ADDRESS', {
        method: 'POST', body: form, headers: { 'TOKEN': state().get('load_token') },
      });
      if (!answer.ok) say('Not loaded: ' + (await answer.text()).replace(/^[0-9]+: /, ''));
    } catch (error) { if (!state().get('load_note')) say('Not loaded: the connection was ended'); }
  };
  const mark = (on) => document.querySelector('.lp')?.classList.toggle('lp-dropping', on);
  const ours = (event) => event.dataTransfer && [...event.dataTransfer.types].includes('Files');
  window.addEventListener('dragover', (event) => { if (ours(event)) { event.preventDefault(); mark(true); } });
  window.addEventListener('dragleave', (event) => { if (!event.relatedTarget) mark(false); });
  window.addEventListener('drop', async (event) => {
    if (!ours(event)) return;
    event.preventDefault();
    mark(false);
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry);
    const plain = [...event.dataTransfer.files].map((file) => [file, file.name]);
    try { send(entries.length ? (await Promise.all(entries.map(files))).flat() : plain); }
    catch (error) { say('Not loaded: the browser could not read the folder'); }
  });
  window.addEventListener('change', (event) => {
    if (!['load_files', 'load_folder'].includes(event.target.name)) return;
    send([...event.target.files].map((file) => [file, file.webkitRelativePath]));
    event.target.value = '';
  });
})();
""".replace("ADDRESS", ADDRESS.lstrip("/")).replace("TOKEN", TOKEN)


def cases(html: Any, viewer: Page) -> None:
    """The cases of the folder with their verdicts, a search by name or verdict, and a way in for another scan."""
    with html.Div(v_if=("cases_shown", False), classes="lp-over lp-cases"):
        html.Button("Close", classes="lp-plain", style="float:right; margin:0 0 4px 8px", click="cases_shown = false")
        html.H4("Cases")
        html.Input(
            type="search",
            raw_attrs=['v-model="case_search"', 'name="case_search"', 'placeholder="name or verdict"'],
        )
        with (
            html.Div(classes="lp-list"),
            html.Table(),
            html.Tr(
                v_for="c in cases.filter(c => c.words.includes((case_search || '').trim().toLowerCase()))",
                key="c.value",
                classes="lp-go",
                click="case_index = c.value; cases_shown = false",
                raw_attrs=[":class=\"{'lp-on': case_index === c.value}\""],
            ),
        ):
            html.Td("{{ c.title }}")
            html.Td("{{ c.verdict }}")
            html.Td("{{ c.eligibility }}")
        html.Div(
            "No case has this in its name or verdict.",
            v_if="!cases.some(c => c.words.includes((case_search || '').trim().toLowerCase()))",
        )
        html.H4("Load a scan")
        with html.Div(v_if="!load_stage"):
            _ways_in(html, viewer)
        with html.Div(v_if="load_stage"):
            html.Progress(style="width:100%", raw_attrs=[':value="load_progress"', 'max="100"'])
            html.Button("Cancel", classes="lp-act", click=viewer.loading.cancel)
        with html.Table(v_if="load_steps.length"), html.Tr(v_for="(s, n) in load_steps", key="n"):
            html.Td("{{ s.title }}")
            html.Td("{{ s.seconds !== null ? s.seconds + ' s' : load_stage ? '...' : '' }}")
        html.Div("{{ load_note }}", v_if="load_note", raw_attrs=[":class=\"load_bad ? 'lp-bad' : 'lp-good'\""])
        html.Button(
            "Open it", v_if="load_new >= 0", classes="lp-act", click="case_index = load_new; cases_shown = false"
        )


def _ways_in(html: Any, viewer: Page) -> None:
    with html.Div(classes="lp-drop"):
        html.Div("Drop a DICOM folder, a .zip, .nii.gz or .nrrd file here, alone or with its masks, or")
        for name, title, more in (("load_folder", "choose a folder", "webkitdirectory"), ("load_files", "files", "")):
            with html.Label():
                html.Input(
                    type="file", classes="lp-pick", raw_attrs=[f'name="{name}"', "multiple", *([more] if more else [])]
                )
                html.Span(title, classes="lp-pick-title")
    with html.Table(classes="lp-take"):
        for title, name, hint in (
            ("Name of the case", "load_name", "made of the time when left empty"),
            ("or path of a scan", "load_path", "below the folder of cases"),
            ("with masks", "load_masks", "folder or label map; a model's when left empty"),
        ):
            with html.Tr():
                html.Td(title)
                with html.Td():
                    html.Input(
                        type="text",
                        raw_attrs=[f'v-model="{name}"', f'name="{name}"', f'placeholder="{hint}"', 'maxlength="400"'],
                    )
    html.Button(
        "Plan the path", classes="lp-act", click=viewer.loading.start_path, raw_attrs=[':disabled="!load_path"']
    )
