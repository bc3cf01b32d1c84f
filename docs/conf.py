"The site of vwl: notebooks as they are stored, in the order of their folders. `make docs` builds it."

import sys
from pathlib import Path

here = Path(__file__).parent
sys.path[:0] = [str(here), str(here.parent)]
import vwl

project, release = 'vwl', vwl.__version__
extensions = ['myst_nb', 'sphinx.ext.mathjax', 'sphinx.ext.githubpages', 'notebook_pages']
exclude_patterns = ['_*']

# The sidebar is the listing of nbs/: its folders are the chapters, by number. These pages follow it.
reference = ['equations', 'api']

nb_execution_mode = 'off'
nb_render_markdown_format = 'myst'
myst_enable_extensions = ['dollarmath']
myst_update_mathjax = False
suppress_warnings = ['mystnb.unknown_mime_type']
mathjax_path = 'mathjax-tex-svg.js'  # es5/tex-svg.js of mathjax 3.2.2 (npm), Apache-2.0
mathjax3_config = {'tex': {'tags': 'none'}}
nitpicky = True
highlight_language = 'none'
numfig = True
numfig_secnum_depth = 0
numfig_format = {'figure': 'Picture %s'}  # "Fig." is the paper's
smartquotes = False
add_module_names = False
maximum_signature_line_length = 80

html_theme = 'furo'
pygments_dark_style = 'github-dark'
html_title = 'vwl'
html_static_path = ['_static']
html_css_files = ['site.css']
html_theme_options = dict(
    light_css_variables={'color-sidebar-link-text--top-level': 'var(--color-foreground-secondary)'},
    dark_css_variables={'color-sidebar-link-text--top-level': 'var(--color-foreground-secondary)'},
)
html_js_files = ['site.js']
html_favicon = '_static/icon.svg'
html_copy_source = False
html_show_copyright = html_show_sphinx = False
