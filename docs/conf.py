"""How Sphinx makes the site; ``make docs`` builds it into build/docs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from celery import Task
from docutils import nodes
from sphinx import addnodes

import celery_graceful

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_ROOT = Path(__file__).resolve().parents[1]

project = "celery-graceful"
author = "The celery-graceful authors"
copyright = author
version = release = celery_graceful.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxcontrib.mermaid",
]
exclude_patterns = ["README.md"]  # the index on code hosts; here it is index.md

myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
copybutton_exclude = ".linenos, .gp"
mermaid_height = "auto"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_default_options = {"members": True, "no-value": True}
napoleon_numpy_docstring = False

# Every reference in docstrings to what users import must have a target.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!celery_graceful\b).*"),
    (r"py:.*", r".*\._\w+"),
    (r"py:(class|mod)", r"celery_graceful\.(?!(errors|signals|sources|testing)\b)\w+\..*"),
]

html_theme = "furo"
html_title = f"celery-graceful {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False


#: Files outside of docs/, and the pages that include them.
_INCLUDED = {
    "ARCHITECTURE.md": "project/architecture",
    "CHANGELOG.md": "project/changelog",
    "CONTRIBUTING.md": "project/contributing",
    "SECURITY.md": "project/security",
    "docs/README.md": "index",
    "example_project/README.md": "project/example",
}


def _lead_links_to_pages(app: Sphinx, doctree: nodes.document) -> None:
    """Let links work that lead out of docs/, and those of files from there that a page includes."""
    for link in list(doctree.findall(addnodes.pending_xref)):
        if link["reftype"] != "myst":
            continue
        if link["refdomain"] == "doc":  # an absolute path where it leads out of docs/
            path, anchor = f"{link['reftarget']}.md", link["reftargetid"]
            target = app.srcdir / path
        else:
            path, _, anchor = link["reftarget"].partition("#")
            target = (Path(link.source or "").parent / path).resolve()
        if not path or not target.exists():
            continue  # an anchor of this page; or Sphinx says that it leads nowhere
        page = _INCLUDED.get(str(target.relative_to(_ROOT)))
        if page is None and target.suffix == ".md" and target.is_relative_to(app.srcdir):
            page = str(target.relative_to(app.srcdir).with_suffix(""))
        if page is None:  # code, a folder: on no page
            link.replace_self(link.children)
        else:
            to = {"refdomain": "doc", "reftarget": page, "reftargetid": anchor}
            link.update_all_atts(to, replace=True)


def _skip_celerys(
    _app: Sphinx, what: str, name: str, obj: object, _skip: bool, _options: object
) -> bool | None:
    """Leave out attributes that Celery documents."""
    return True if what == "class" and name in vars(Task) and not callable(obj) else None


def _keep_colons(
    _app: Sphinx, what: str, _name: str, _obj: object, _options: object, lines: list[str]
) -> None:
    """Napoleon takes what precedes a colon in an attribute's first line for a type."""
    if what in ("attribute", "data", "property"):
        lines.insert(0, "\\ ")  # an escaped space: nothing is shown


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", _keep_colons, priority=100)  # before napoleon
    app.connect("doctree-read", _lead_links_to_pages)
    app.connect("autodoc-skip-member", _skip_celerys)
