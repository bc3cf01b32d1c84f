"The site of vwl: notebooks as they are stored, in the paper's order. `make docs` builds it."
import sys
from pathlib import Path

here = Path(__file__).parent
sys.path[:0] = [str(here), str(here.parent)]
import vwl

project, release = 'vwl', vwl.__version__
extensions = ['myst_nb', 'sphinx.ext.mathjax', 'sphinx.ext.githubpages', 'notebook_pages']
exclude_patterns = ['_*']

# The sidebar: notebooks in nbs/ and Markdown pages here, by name. One that isn't written yet is left out; a notebook
# that is missing here stops the build. Titles, sections and equations are read from the pages.
parts = {
    'The method': 'index 02_cam 03_words 04_pooling 05_losses 06_network 07_training',
    'Data and settings': '00_data 17_check 17_datasets 18_voc 19_coco 00_scenes 01_backbone 00_recipe',
    'From maps to masks': '08_seeds 09_affinity 10_irnet 11_deeplab 12_metrics',
    'Results': '16_demo 20_paper_tables 20_experiments 20_results_cams 21_results_words 22_results_segmentation',
    'Tutorials': '30_own_photographs tutorial_voc tutorial_coco 32_scale',
    'Paper and published code': '31_paper_and_code equations',
    'The program': '13_pipeline 15_cli 14_report 14_figures 14_charts 14_word_figures 08_exchange 00_files 00_workers 00_distributed',
    'Reference': 'api',
}

nb_execution_mode = 'off'
nb_render_markdown_format = 'myst'
myst_enable_extensions = ['dollarmath']
myst_update_mathjax = False
suppress_warnings = ['mystnb.unknown_mime_type']
mathjax_path = 'mathjax-tex-svg.js'                                             # es5/tex-svg.js of mathjax 3.2.2 (npm), Apache-2.0
mathjax3_config = {'tex': {'tags': 'none'}}
nitpicky = True
highlight_language = 'none'
numfig = True
numfig_secnum_depth = 0
numfig_format = {'figure': 'Picture %s'}                                       # "Fig." is the paper's
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
    dark_css_variables={'color-sidebar-link-text--top-level': 'var(--color-foreground-secondary)'})
html_js_files = ['site.js']
html_favicon = '_static/icon.svg'
html_copy_source = False
html_show_copyright = html_show_sphinx = False
