"""How Sphinx sets the book. `tools/book.py` lays out its pages first, calls Sphinx, and looks for dead links after."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import book  # noqa: E402
import zerohero  # noqa: E402

project = "Convolutional Neural Networks from Zero to Hero"
author = "The zerohero authors"
project_copyright = f"{author}, texts and figures CC BY 4.0, code MIT"
version = release = zerohero.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
suppress_warnings = ["myst.header"]  # a lecture may open a section with a subsection

# --- pages and notebooks: shown as they were committed, not run again -----------------------------------------

nb_execution_mode = "off"
nb_merge_streams = True
myst_update_mathjax = False
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "attrs_inline"]
myst_heading_anchors = 4
myst_links_external_new_tab = True

# --- reference: from the docstrings ---------------------------------------------------------------------------

default_role = "literal"  # `name` in a docstring is code
autodoc_typehints = "none"  # the docstrings say it with shapes
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_param = False  # types are words with shapes, not links
napoleon_use_rtype = False
napoleon_use_ivar = True
add_module_names = False
nitpick_ignore_regex = [("py:(class|obj)", ".*")]  # the words of types; every other reference must lead somewhere

# --- look -----------------------------------------------------------------------------------------------------

html_theme = "sphinx_book_theme"
html_title = "Zero to Hero"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_persistent": [],  # one search box is enough
    "show_toc_level": 2,
    "show_navbar_depth": 1,
    "home_page_in_toc": True,
    "use_download_button": False,
}
mathjax_path = "mathjax/MathJax.js?config=TeX-AMS-MML_HTMLorMML-full,Safe"  # in the book itself: no network needed
mathjax2_config = {
    "HTML-CSS": {"availableFonts": ["STIX-Web"], "preferredFont": "STIX-Web", "webFont": "STIX-Web", "imageFont": None},
    "tex2jax": {"inlineMath": [["\\(", "\\)"]], "displayMath": [["\\[", "\\]"]], "processClass": "math"},
}


def setup(app):
    app.connect("doctree-read", book.describe_pictures)
